"""The projection: how long it takes to learn, to project, and to be held to the past."""

from __future__ import annotations

import grown
from measure import Row, in_turn, table

import capsule_analytics as ca


def measure(*, heavy: bool) -> str:
    """Measure against the seconds that it may take."""
    runs = 3 if heavy else 1
    seen = grown.snapshots(3)
    deals = len(seen[-1].opportunities)
    (fit,) = in_turn(lambda: ca.projection.fit(seen), runs=runs, warm=False)
    many = grown.pipeline(7_400)
    held = int((many.opportunities["status"] == "open").sum())
    model = ca.projection.fit(many)
    # Each time of a model that has projected nothing yet, so that none finds its work done.
    fresh = [model, *(ca.projection.fit(many) for _ in range(runs - 1))]
    (ahead,) = in_turn(lambda: fresh.pop().by_month(6), runs=runs, warm=False)
    days = ca.history.sample_history()
    final = ca.load_sample()
    (past,) = in_turn(lambda: ca.calibration.backtest(days, final), runs=runs, warm=False)
    rows = [
        Row(f"projection.fit, {len(seen)} snapshots, {deals:,} deals at the end", fit, most=6),
        Row(f"by_month(6), {held:,} open deals", ahead, most=1),
        Row(f"calibration.backtest of the sample, {len(days)} snapshots", past, most=20),
    ]
    return table(rows)
