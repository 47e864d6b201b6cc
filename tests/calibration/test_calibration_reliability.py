"""Reliability tables and scores of probabilities, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capsule_analytics import calibration
from capsule_analytics.errors import ArgumentError

FORECASTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=60)


def judged(probability: list[float], won: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"opportunity_id": range(len(won)), "probability": probability, "won": won})


def test_brier_score_of_four_deals() -> None:
    score = calibration.brier_score([0.9, 0.9, 0.6, 0.2], [1, 0, 1, 0])
    assert score == pytest.approx((0.01 + 0.81 + 0.16 + 0.04) / 4)


def test_log_loss_of_four_deals() -> None:
    loss = calibration.log_loss([0.9, 0.9, 0.6, 0.2], [1, 0, 1, 0])
    expected = -(math.log(0.9) + math.log(0.1) + math.log(0.6) + math.log(0.8)) / 4
    assert loss == pytest.approx(expected)


def test_false_certainty_costs_as_much_as_one_in_a_thousand() -> None:
    assert calibration.EPSILON == 0.001
    assert calibration.log_loss([1.0], [0]) == pytest.approx(-math.log(0.001))
    assert calibration.log_loss([0.0, 1.0], [0, 1]) == pytest.approx(-math.log(0.999))


def test_missing_probabilities_are_not_scored() -> None:
    assert calibration.brier_score([0.5, np.nan], [1, 1]) == 0.25
    assert math.isnan(calibration.brier_score([], []))
    assert math.isnan(calibration.log_loss([np.nan], [1]))


@pytest.mark.parametrize("score", [calibration.brier_score, calibration.log_loss])
@pytest.mark.parametrize(
    ("probability", "won", "message"),
    [
        ([0.5], [1, 0], "1 probabilities, but 2 outcomes"),
        ([50.0], [1], "percent"),
        ([-0.1], [1], "0 to 1"),
        ([0.5], [2], "1 for won"),
    ],
)
def test_scores_refuse_what_is_no_forecast(
    score: object, probability: list[float], won: list[int], message: str
) -> None:
    assert callable(score)
    with pytest.raises(ArgumentError, match=message):
        score(probability, won)


def test_bins_by_hand() -> None:
    """0.3 stands on an edge and belongs above it; 1.0 belongs to the last bin."""
    rows = judged([0.25, 0.3, 0.35, 1.0], [0, 1, 0, 1])
    table = calibration.reliability(rows)
    assert table["bin_low"].tolist() == pytest.approx([0.2, 0.3, 0.9])
    assert table["bin_high"].tolist() == pytest.approx([0.3, 0.4, 1.0])
    assert table["deals"].tolist() == [1, 2, 1]
    assert table["stated"].tolist() == pytest.approx([0.25, 0.325, 1.0])
    assert table["won_rate"].tolist() == [0.0, 0.5, 1.0]


def test_repeated_sightings_count_in_the_rate_but_not_as_evidence() -> None:
    """A lost deal seen three times and a won one seen once: a quarter, known from two deals."""
    rows = pd.DataFrame({"opportunity_id": [1, 1, 1, 2], "probability": 0.85, "won": [0, 0, 0, 1]})
    row = calibration.reliability(rows).loc[0]
    assert (row["deals"], row["won_rate"]) == (2, 0.25)
    law = stats.beta(0.25 * 2 + 0.5, 0.75 * 2 + 0.5)
    assert [row["low"], row["high"]] == pytest.approx(law.ppf([0.1, 0.9]).tolist())


def test_another_column_can_be_judged() -> None:
    rows = judged([0.9, 0.9], [1, 0]).assign(calibrated=[0.5, 0.5])
    assert calibration.reliability(rows, probability="calibrated")["stated"].tolist() == [0.5]
    with pytest.raises(ArgumentError, match="no column 'colour'"):
        calibration.reliability(rows, probability="colour")


@pytest.mark.parametrize("options", [{"bins": 0}, {"level": 0.0}])
def test_invalid_options(options: dict[str, float]) -> None:
    with pytest.raises(ArgumentError):
        calibration.reliability(judged([0.5], [1]), **options)  # type: ignore[arg-type]


def test_decomposition_by_hand() -> None:
    """Two bins of two deals; overall a quarter is won."""
    parts = calibration.brier_decomposition(judged([0.8, 0.8, 0.2, 0.2], [1, 0, 0, 0]))
    assert parts["reliability"] == pytest.approx((0.3**2 + 0.2**2) / 2)
    assert parts["resolution"] == pytest.approx(0.25**2)
    assert parts["uncertainty"] == pytest.approx(0.25 * 0.75)
    assert parts["within_bins"] == pytest.approx(0)
    assert parts["brier"] == pytest.approx((0.04 + 0.64 + 0.04 + 0.04) / 4)


@given(FORECASTS, st.integers(1, 20))
def test_decomposition_adds_up(forecasts: list[tuple[float, int]], bins: int) -> None:
    rows = judged([p for p, _ in forecasts], [y for _, y in forecasts])
    parts = calibration.brier_decomposition(rows, bins)
    assert parts["brier"] == pytest.approx(
        calibration.brier_score(rows["probability"], rows["won"])
    )
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within_bins"]
    assert total == pytest.approx(parts["brier"], abs=1e-12)


@given(FORECASTS, st.integers(1, 20))
def test_bins_hold_every_deal_once(forecasts: list[tuple[float, int]], bins: int) -> None:
    rows = judged([p for p, _ in forecasts], [y for _, y in forecasts])
    table = calibration.reliability(rows, bins)
    assert table["deals"].sum() == len(rows)
    assert (table["won_rate"] * table["deals"]).sum() == pytest.approx(rows["won"].sum())
    inside = table["stated"].between(table["bin_low"] - 1e-9, table["bin_high"] + 1e-9)
    assert inside.all()
    assert (table["low"] < table["high"]).all()
