"""Expected close dates that slip, and deals that nobody touches."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest
from deals import deals

from capsule_analytics import history, load_sample
from capsule_analytics.errors import ArgumentError


def month_ends(*histories: dict[str, Any]) -> list[Any]:
    """Return three monthly snapshots of deals whose expected close is given for each."""
    snapshots = []
    for n, month in enumerate((7, 8, 9)):
        rows = [
            {"id": key, **deal, "expected_close": deal["expected_close"][n]}
            for key, deal in enumerate(histories, 1)
        ]
        snapshots.append(deals(rows, as_of=date(2026, month, 30)))
    return snapshots


def test_only_later_dates_are_pushes() -> None:
    snapshots = month_ends(
        {"name": "A", "owner": "ann", "expected_close": ["2026-08-01", "2026-08-11", "2026-09-11"]},
        {"name": "B", "owner": "ann", "expected_close": ["2026-08-20", "2026-08-10", "2026-08-15"]},
        {"name": "C", "owner": "bo", "expected_close": ["2026-08-01", None, "2026-08-04"]},
        {"name": "D", "owner": None, "expected_close": ["2026-08-01", "2026-08-01", None]},
        {"name": "E", "milestone": "Won", "expected_close": ["2026-08-01", "2026-09-01", None]},
    )
    slips = history.slippage(snapshots)
    assert slips.to_numpy().tolist() == [
        [1, "A", "ann", 2, 41],  # 10 days, then 31
        [2, "B", "ann", 1, 5],
        [3, "C", "bo", 1, 3],
        [4, "D", pd.NA, 0, 0],
    ]  # E was never open
    owners = history.slippage_by_owner(slips)
    assert owners.to_numpy().tolist() == [
        ["ann", 2, 2, 23.0],  # (41 + 5) / 2
        ["bo", 1, 1, 3.0],
        [pd.NA, 1, 0, 0.0],
    ]


def test_a_deal_is_named_as_it_was_last_seen_open() -> None:
    old = deals([{"name": "Old", "owner": "ann", "expected_close": "2026-11-01"}])
    new = deals([{"name": "New", "owner": "bo", "expected_close": "2026-11-08"}])
    won = deals([{"name": "Won", "owner": "cy", "milestone": "Won"}])
    slips = history.slippage([old, new, won])
    assert slips.to_numpy().tolist() == [[1, "New", "bo", 1, 7]]


def test_an_owner_who_was_renamed_is_one_person() -> None:
    """Also for deals that were last seen open under the old name."""
    old = {"owner": "ada", "owner_id": 7, "expected_close": "2026-11-01"}
    new = {"owner": "ada.king", "owner_id": 7, "expected_close": "2026-11-08"}
    before = deals([old, old | {"expected_close": "2026-12-01"}])
    after = deals([new, new | {"milestone": "Won", "closed_at": "2026-10-14"}])
    slips = history.slippage([before, after])
    assert slips["owner"].tolist() == ["ada.king", "ada.king"]
    assert history.slippage_by_owner(slips).to_numpy().tolist() == [["ada.king", 2, 1, 3.5]]
    gone = replace(after, opportunities=after.opportunities.loc[[1]])
    changed = history.changed_deals(before, gone)
    assert changed.loc[changed["part"] == "deleted", "owner"].tolist() == ["ada.king"]


def test_deals_pushed_out_of_one_period_after_another() -> None:
    snapshots = month_ends(
        {"name": "A", "expected_close": ["2026-07-31", "2026-08-31", "2026-10-01"]},
        {"name": "B", "expected_close": ["2026-07-01", "2026-07-20", "2026-08-31"]},
        {"name": "C", "expected_close": ["2026-12-01", "2026-11-01", "2027-01-01"]},
    )

    def found(**options: Any) -> dict[int, int]:
        table = history.pushed_out(snapshots, **options)
        return dict(zip(table["opportunity_id"], table["periods"], strict=True))

    assert found(period="month", times=2) == {1: 2}  # July and August; B left July alone
    assert found(period="month", times=1) == {1: 2, 2: 1, 3: 1}
    assert found(period="quarter", times=1) == {1: 1, 3: 1}
    assert found(period="year", times=1) == {3: 1}
    assert found() == {}
    table = history.pushed_out(snapshots, period="year", times=1)
    assert table.loc[0, "first_expected"] == pd.Timestamp("2026-12-01", tz="UTC")
    assert table.loc[0, "expected_close"] == pd.Timestamp("2027-01-01", tz="UTC")


def test_the_same_period_counts_once_and_closed_deals_not_at_all() -> None:
    there_and_back = ("2026-07-31", "2026-08-01", "2026-07-31", "2026-08-01")
    snapshots = [deals([{"expected_close": day}]) for day in there_and_back]
    assert history.pushed_out(snapshots, period="month", times=1)["periods"].tolist() == [1]
    assert history.pushed_out(snapshots, period="month", times=2).empty
    snapshots.append(deals([{"expected_close": "2026-08-01", "milestone": "Lost"}]))
    assert history.pushed_out(snapshots, period="month", times=1).empty


def test_stale_deals_are_open_and_unchanged_for_so_many_days() -> None:
    pipeline = deals(
        [
            {"name": "A", "updated_at": "2026-09-15T23:59:59Z"},  # 30 days before 15 October
            {"name": "B", "updated_at": "2026-09-16T00:00:00Z"},
            {"name": "C", "updated_at": "2026-01-01T00:00:00Z", "value": 5},
            {"name": "D", "updated_at": "2026-01-01T00:00:00Z", "milestone": "Lost"},
            {"name": "E"},
        ]
    )
    table = history.stale(pipeline)
    assert table[["name", "days"]].to_numpy().tolist() == [["C", 287], ["A", 30]]
    assert table.loc[0, "tcv"] == 5
    assert history.stale(pipeline, days=29)["name"].tolist() == ["C", "A", "B"]


def test_snapshots_must_be_of_one_account_and_oldest_first() -> None:
    july, august, _ = month_ends({"expected_close": ["2026-08-01", "2026-08-11", "2026-09-11"]})
    with pytest.raises(ArgumentError, match="oldest first"):
        history.slippage([august, july])
    with pytest.raises(ArgumentError, match="'other'"):
        history.slippage([july, replace(august, account="other")])
    with pytest.raises(ArgumentError, match="there are none"):
        history.slippage([])
    with pytest.raises(ArgumentError, match="'week' is none of month"):
        history.pushed_out([july], period="week")  # type: ignore[arg-type]


def test_the_sample_history_ends_as_the_sample_account() -> None:
    *_, last = history.sample_history()
    sample = load_sample()
    # The account lists its deals in another order, which only the categories show.
    pd.testing.assert_frame_equal(last.opportunities, sample.opportunities, check_categorical=False)
    pd.testing.assert_frame_equal(last.issues, sample.issues)
    assert (last.loaded_at, last.as_of, last.account) == (
        sample.loaded_at, sample.as_of, sample.account,
    )  # fmt: skip
