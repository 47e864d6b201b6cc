"""Our sums beside those that Capsule makes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics._safe_text import one_line
from capsule_analytics.schema import TEXT

if TYPE_CHECKING:
    from capsule_analytics.api import CapsuleClient
    from capsule_analytics.schema import Pipeline

_MEASURES = {"open_value": "total_value", "weighted_value": "projected_value"}
"""Our measures of open deals, and what Capsule calls them."""

_CHANGE_A_WEIGHT = ("probability_out_of_range", "missing_probability", "unknown_milestone")
"""Findings that may explain a weighted value where the open values agree."""

_CHANGE_A_SUM = (
    *_CHANGE_A_WEIGHT,
    *("not_a_number", "missing_value", "text_number", "negative_value"),
    *("missing_duration", "negative_duration", "zero_duration", "unknown_duration_basis"),
)
"""Findings that may explain any difference."""

_ROUNDED = 0.011
"""What two sums may differ by, each of which is rounded to cents."""


def verify(client: CapsuleClient, pipeline: Pipeline) -> pd.DataFrame:
    """Compare the open deals' sums with those that Capsule adds up (API v2).

    The call behind it is not documented, though Capsule's own client makes it; a server without
    it gives an empty table. Each currency is asked for alone, because Capsule converts sums of
    several at its own rates.

    Parameters
    ----------
    client
        The account.
    pipeline
        The account as it was loaded, with nothing filtered out.

    Returns
    -------
    Two rows a currency of the open deals: ``currency``, ``measure`` (``open_value``, the total
    contract value, and ``weighted_value``), ``ours``, ``capsule``, ``capsule_currency`` (what
    Capsule answered in), ``difference`` (ours less Capsule's; missing where it answered in
    another currency) and ``findings`` (where the two sides differ: what was found about these deals
    that may explain it, a line each). A probability of 150 %, say, is none of Capsule's 0 to 100
    (developer.capsulecrm.com/v2/models/opportunity); we take the milestone's in its place, while a
    server that holds it may count it as it stands.

    Raises
    ------
    CapsuleError
        If the account cannot be read.
    """
    frame = pipeline.opportunities
    open_ = frame[(frame["status"] == "open") & frame["currency"].notna()]
    rows = []
    for currency, deals in open_.groupby(open_["currency"].astype(object)):
        told = client.totals(
            [
                {"field": "isOpen", "operator": "is", "value": True},
                {"field": "currency", "operator": "is", "value": currency},
            ]
        )
        if told is None:
            break
        sums = {
            "open_value": deals["tcv"].sum(),
            "weighted_value": (deals["tcv"] * deals["probability"]).sum(),
        }
        answered = told["currency"] or currency
        checks: tuple[str, ...] = _CHANGE_A_SUM
        for measure, name in _MEASURES.items():
            theirs = np.nan if told[name] is None else float(told[name])
            difference = sums[measure] - theirs if answered == currency else np.nan
            agree = abs(difference) < _ROUNDED
            doubted = "" if agree or np.isnan(difference) else _found(pipeline, deals, checks)
            rows.append((currency, measure, sums[measure], theirs, answered, difference, doubted))
            checks = _CHANGE_A_WEIGHT if agree else checks
    columns = ["currency", "measure", "ours", "capsule", "capsule_currency", "difference"]
    columns.append("findings")
    texts = dict.fromkeys(("currency", "measure", "capsule_currency", "findings"), TEXT)
    numbers = dict.fromkeys(("ours", "capsule", "difference"), "float64")
    return pd.DataFrame(rows, columns=columns).astype({**texts, **numbers})


def _found(pipeline: Pipeline, deals: pd.DataFrame, checks: tuple[str, ...]) -> str:
    """Write what some checks found about some deals, a line each."""
    issues = pipeline.issues
    found = issues[issues["opportunity_id"].isin(deals.index) & issues["check"].isin(checks)]
    rows = zip(found["opportunity_id"], found["check"], found["detail"], strict=True)
    return "\n".join(f"{number} {check}: {one_line(detail)}" for number, check, detail in rows)
