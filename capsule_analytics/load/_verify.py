"""Our sums beside those that Capsule makes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics.schema import TEXT

if TYPE_CHECKING:
    from capsule_analytics.api import CapsuleClient
    from capsule_analytics.schema import Pipeline

_MEASURES = {"open_value": "total_value", "weighted_value": "projected_value"}
"""Our measures of open deals, and what Capsule calls them."""


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
    Capsule answered in) and ``difference`` (ours less Capsule's; missing where it answered in
    another currency).

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
        for measure, name in _MEASURES.items():
            theirs = np.nan if told[name] is None else float(told[name])
            difference = sums[measure] - theirs if answered == currency else np.nan
            rows.append((currency, measure, sums[measure], theirs, answered, difference))
    columns = ["currency", "measure", "ours", "capsule", "capsule_currency", "difference"]
    texts = dict.fromkeys(("currency", "measure", "capsule_currency"), TEXT)
    numbers = dict.fromkeys(("ours", "capsule", "difference"), "float64")
    return pd.DataFrame(rows, columns=columns).astype({**texts, **numbers})
