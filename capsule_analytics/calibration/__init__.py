"""How good the forecasts were, and how to make them better, from the deals that have ended.

`outcomes` joins how deals stood on earlier days to what became of them. `win_rates` and
`reliability` describe that; `fit` learns a correction of stated probabilities, `calibrate` applies
it to the open deals, and `scores` shows on later deals whether it helps. `backtest` compares, in
money, all that can be said of coming months: the projection, weighted forecasts and naives.
`velocity` and `milestone_steps` tell how fast deals move, `ended` and `lost_reasons` what became of
them.

Examples
--------
>>> import capsule_analytics as ca
>>> snapshots, pipeline = ca.history.sample_history(), ca.load_sample()
>>> ended = outcomes(snapshots, pipeline)
>>> scores(ended)[["which", "deals", "brier", "log_loss"]].round(3)
        which  deals  brier  log_loss
0      stated    328  0.233     0.677
1   base_rate    328  0.236     0.664
2    win_rate    328  0.228     0.646
3  calibrated    328  0.176     0.523
>>> fit(ended)
<Calibration on 341 ended deals, 152 won: at 60 days 10% means 10%, 50% means 44%,
90% means 85%; at 180 days 90% means 68%>
"""

from __future__ import annotations

from ._backtest import backtest, backtest_months, backtest_scores
from ._fit import Calibration, calibrate, fit, predictions, scores
from ._lost_reasons import lost_reasons
from ._lost_reasons import lost_reasons_of as lost_reasons_of
from ._outcomes import ended, outcomes
from ._outcomes import tally as tally
from ._reliability import EPSILON, brier_decomposition, brier_score, log_loss, reliability
from ._velocity import milestone_steps, velocity
from ._win_rates import SMALL_SAMPLE, win_rates
from ._win_rates import win_rates_of as win_rates_of

__all__ = [
    "EPSILON",
    "SMALL_SAMPLE",
    "Calibration",
    "backtest",
    "backtest_months",
    "backtest_scores",
    "brier_decomposition",
    "brier_score",
    "calibrate",
    "ended",
    "fit",
    "log_loss",
    "lost_reasons",
    "milestone_steps",
    "outcomes",
    "predictions",
    "reliability",
    "scores",
    "velocity",
    "win_rates",
]

__dir__ = __all__.copy  # what completion offers
