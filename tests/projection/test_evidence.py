"""What snapshots and dates tell of an account's past."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from grown_accounts import pipeline

from capsule_analytics.projection._evidence import (
    LOST,
    NEVER,
    OPEN,
    VANISHED,
    WON,
    day_from,
    day_number,
    month_of,
    month_start,
    read,
)
from capsule_analytics.projection._fit import Evidence

if TYPE_CHECKING:
    from capsule_analytics.schema import Pipeline

JAN, FEB, MAR = date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)


def test_days_and_months_are_numbers() -> None:
    assert day_from(day_number(date(2026, 10, 15))) == date(2026, 10, 15)
    assert month_of(day_number(date(2026, 10, 15))) == 2026 * 12 + 9
    assert day_from(int(month_start(2026 * 12 + 9))) == date(2026, 10, 1)
    assert month_of(day_number(date(3000, 1, 1))) == 36000


def test_each_deal_ends_as_the_last_snapshot_shows_it() -> None:
    opened = {"created_at": "2026-01-10"}
    won = {**opened, "status": "won", "closed_at": "2026-02-10"}
    lost = {**opened, "status": "lost", "closed_at": "2026-03-05"}
    undated = {**opened, "status": "won"}
    first = [dict(opened, id=n) for n in range(1, 7)]
    second = [dict(won, id=1), dict(won, id=2), dict(opened, id=3), dict(undated, id=5)]
    third = [dict(won, id=1), dict(opened, id=2), dict(lost, id=3), dict(undated, id=5)]
    history = read(
        [
            pipeline(third, MAR),
            pipeline([*first], JAN),
            pipeline([*second, dict(opened, id=6)], FEB),
        ]
    )
    # 1 was won, 2 reopened, 3 lost, 4 and 6 deleted, 5 won on a day that nobody wrote down.
    assert history.deals.kind.tolist() == [WON, OPEN, LOST, VANISHED, WON, VANISHED]
    ends = [date(2026, 2, 10), None, date(2026, 3, 5), FEB, FEB, MAR]
    expected = [NEVER if day is None else day_number(day) for day in ends]
    assert history.deals.end.tolist() == expected
    assert history.deals.ids[history.present.deal].tolist() == [2]


def test_the_latest_load_of_a_day_counts_in_any_order() -> None:
    early = pipeline([{"tcv": 1.0}], MAR)
    late = replace(pipeline([{"tcv": 2.0}], MAR), loaded_at=early.loaded_at + pd.Timedelta("1h"))
    for given in ([early, late], [late, early]):
        assert read(given).present.tcv.tolist() == [2.0]


def test_an_older_final_pipeline_is_not_the_one_projected() -> None:
    old = pipeline([{"created_at": "2026-01-10"}], JAN)
    new = pipeline([{"created_at": "2026-01-10"}, {"created_at": "2026-02-10"}], FEB)
    assert read([new, old]).today == day_number(FEB)
    assert len(read([new, old]).present) == 2


def test_pushes_and_time_at_the_milestone_are_counted_from_snapshots() -> None:
    def seen(day: date, due: str, milestone: int) -> Pipeline:
        row = {"created_at": "2026-01-11", "expected_close": due, "milestone_id": milestone}
        return pipeline([row], day)

    history = read(
        [seen(JAN, "2026-02-10", 1), seen(FEB, "2026-03-10", 1), seen(MAR, "2026-05-10", 2)]
    )
    assert history.sightings.pushes.tolist() == [0, 1]
    assert history.present.pushes.tolist() == [2]
    days = history.sightings.at_milestone * 365.25 / 12
    assert days.round(1).tolist() == [20.0, 48.0]
    # Between the ends of February and March it moved; half of the month counts.
    assert history.present.at_milestone[0] * 365.25 / 12 == pytest.approx(15.5, abs=0.1)


def test_a_renamed_milestone_is_one() -> None:
    before = pipeline([{"milestone": "Offer", "milestone_id": 7}], JAN)
    after = pipeline([{"milestone": "Proposal", "milestone_id": 7}], FEB)
    history = read([before, after])
    assert history.milestones == ("Proposal",)
    assert history.sightings.milestone.tolist() == history.present.milestone.tolist() == [0]


def test_months_without_a_snapshot_are_rebuilt_from_dates() -> None:
    rows = [
        {"created_at": "2025-11-10", "status": "won", "closed_at": "2026-01-20", "tcv": 5.0},
        {"created_at": "2025-12-10"},
    ]
    history = read(pipeline(rows, FEB))
    at = history.sightings
    days = [day_from(day) for day in at.day]
    assert days == [date(2025, 11, 30), date(2025, 12, 31), date(2025, 12, 31), JAN]
    assert history.deals.ids[at.deal].tolist() == [1, 1, 2, 2]
    assert not at.seen.any()
    assert np.isnan(at.due).all()


def test_nothing_of_the_future_reaches_an_earlier_fit(snapshots: list[Pipeline]) -> None:
    """Other endings, values and dates after a day leave every digit learnt by then alone."""
    today = day_number(snapshots[10].as_of)
    later = pd.Timestamp(snapshots[10].as_of, tz="UTC")
    draw = np.random.default_rng(5)
    changed = []
    for seen in snapshots:
        if seen.as_of <= snapshots[10].as_of:
            changed.append(seen)
            continue
        frame = seen.opportunities.copy()
        ended = (frame["closed_at"] > later).to_numpy()
        frame["status"] = frame["status"].astype("object")
        frame.loc[ended, "status"] = np.where(draw.random(ended.sum()) < 0.5, "won", "lost")
        frame["tcv"] = np.where(ended | (frame["status"] == "open"), 77.0, frame["tcv"])
        frame.loc[ended, "expected_close"] += pd.Timedelta("90D")
        changed.append(replace(seen, opportunities=frame))
    one, other = (Evidence.of(read(given)).fitted(today) for given in (snapshots, changed))
    assert np.array_equal(one.hazards.coef, other.hazards.coef)
    assert np.array_equal(one.kernel.chance, other.kernel.chance)
    assert np.array_equal(one.shock.state, other.shock.state)
    means, others = (
        [law.mean for laws in found.values.values() for law in laws]  # noqa: PD011
        for found in (one, other)
    )
    assert means == others
    assert one.levels[0].mean == other.levels[0].mean
    assert one.kept_value == other.kept_value
