"""Sales cycle, velocity, and the steps from milestone to milestone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from deals import deals
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capsule_analytics import calibration
from capsule_analytics.calibration._velocity import median_days
from capsule_analytics.errors import ArgumentError

TODAY = date(2026, 10, 15)


def deal(milestone: str, days: int, *, value: float = 100.0, **more: Any) -> dict[str, Any]:
    """Write a deal that took `days`, or is that old if it is open."""
    row: dict[str, Any] = {"milestone": milestone, "value": value, **more}
    if milestone in ("Won", "Lost"):
        row |= {"created_at": "2026-01-01T15:00:00Z"}
        return row | {"closed_at": str(date(2026, 1, 1) + timedelta(days=days)), **more}
    return row | {"created_at": f"{TODAY - timedelta(days=days)}T15:00:00Z"}


class TestVelocity:
    def test_by_hand(self) -> None:
        """Four of six deals ended; the survival curve falls below a half on day 40."""
        pipeline = deals(
            [
                deal("Won", 10, value=300.0),
                deal("Won", 40, value=500.0),
                deal("Lost", 30),
                deal("Lost", 90),
                deal("Lead", 20),
                deal("Contract", 200),
            ]
        )
        row = calibration.velocity(pipeline).loc[0]
        assert (row["open_deals"], row["won_deals"], row["lost_deals"]) == (2, 2, 2)
        assert (row["win_rate"], row["average_won"]) == (0.5, 400.0)
        # Alive after 10: 5/6; 20 is censored; after 30: 5/6 * 3/4 = 5/8; after 40: 5/8 * 2/3 < 1/2
        assert row["cycle_days"] == 40
        assert row["velocity"] == pytest.approx(2 * 400 * 0.5 / 40)

    def test_a_renamed_user_is_one_person(self) -> None:
        rows = [deal("Won", 10, owner="ada"), deal("Lost", 20, owner="ada.b"), deal("Lead", 5)]
        pipeline = deals([row | {"owner_id": 7} for row in rows[:2]] + rows[2:])
        frame = pipeline.opportunities.assign(owner=["ada", "ada.b", None])
        table = calibration.velocity(replace(pipeline, opportunities=frame), by="owner")
        assert table["owner"].dropna().tolist() == ["ada.b"]
        assert table["win_rate"].tolist()[0] == 0.5

    def test_a_lost_deal_that_is_left_out_of_conversion(self) -> None:
        """Two won, two lost, one of these left out: 2 of 3, and of all 2 of 4."""
        pipeline = deals(
            [deal("Won", 10), deal("Won", 20), deal("Lost", 10), deal("Lost", 20), deal("Lead", 1)]
        )
        counts = pd.array([None, None, True, False, None], dtype="boolean")
        frame = pipeline.opportunities.assign(counts_for_conversion=counts)
        row = calibration.velocity(replace(pipeline, opportunities=frame)).loc[0]
        assert (row["won_deals"], row["lost_deals"], row["left_out"]) == (2, 2, 1)
        assert (row["win_rate"], row["rate_of_all"]) == (pytest.approx(2 / 3), 0.5)

    def test_open_deals_lengthen_the_cycle(self) -> None:
        ended = [deal("Won", 10), deal("Lost", 20), deal("Won", 60)]
        alone = calibration.velocity(deals(ended)).loc[0, "cycle_days"]
        waiting = calibration.velocity(deals([*ended, deal("Lead", 50)])).loc[0, "cycle_days"]
        assert (alone, waiting) == (20, 20)
        waiting = calibration.velocity(deals([*ended, deal("Lead", 50), deal("Lead", 55)])).loc[
            0, "cycle_days"
        ]
        assert waiting == 60

    def test_currencies_and_owners_stay_apart(self) -> None:
        pipeline = deals(
            [
                deal("Won", 10, owner="ann"),
                deal("Won", 20, owner="bob", currency="EUR"),
                deal("Lost", 30, owner="bob"),
                deal("Lead", 5),
            ]
        )
        table = calibration.velocity(pipeline, by="owner")
        keys = zip(table["currency"], table["owner"].fillna("nobody"), strict=True)
        assert list(keys) == [("EUR", "bob"), ("GBP", "ann"), ("GBP", "bob"), ("GBP", "nobody")]
        assert table["cycle_days"].iloc[:3].tolist() == [20, 10, 30]
        assert calibration.velocity(pipeline)["currency"].tolist() == ["EUR", "GBP"]

    def test_nothing_ended_has_no_velocity(self) -> None:
        row = calibration.velocity(deals([deal("Lead", 10), deal("Lead", 20)])).loc[0]
        assert row[["win_rate", "average_won", "cycle_days", "velocity"]].isna().all()

    def test_all_won(self) -> None:
        row = calibration.velocity(deals([deal("Won", 10), deal("Lead", 5)])).loc[0]
        assert (row["win_rate"], row["velocity"]) == (1.0, 10.0)

    def test_expected_close_stands_in_for_a_missing_closing_day(self) -> None:
        row = {"milestone": "Won", "created_at": "2026-01-01T00:00:00Z", "value": 1.0}
        table = calibration.velocity(deals([{**row, "expected_close": "2026-01-31"}]))
        assert table.loc[0, "cycle_days"] == 30

    def test_dates_that_run_backwards_are_left_out_and_counted(self) -> None:
        table = calibration.velocity(deals([deal("Won", -5), deal("Won", 10), deal("Won", 20)]))
        assert table.loc[0, "cycle_days"] == 10
        assert table.attrs["deals_without_cycle"] == 1

    def test_deals_closed_on_the_day_have_no_velocity_rather_than_an_endless_one(self) -> None:
        row = calibration.velocity(deals([deal("Won", 0), deal("Lead", 5)])).loc[0]
        assert row["cycle_days"] == 0
        assert np.isnan(row["velocity"])

    def test_invalid_group(self) -> None:
        with pytest.raises(ArgumentError, match="owner, team, pipeline"):
            calibration.velocity(deals([]), by="colour")


class TestMedianDays:
    def test_without_open_deals_it_is_the_lower_median(self) -> None:
        assert median_days(pd.Series([4.0, 1.0, 3.0, 2.0]), pd.Series([True] * 4)) == 2.0

    def test_too_few_closed(self) -> None:
        assert np.isnan(median_days(pd.Series([1.0, 5.0, 6.0]), pd.Series([True, False, False])))
        assert np.isnan(median_days(pd.Series([], dtype=float), pd.Series([], dtype=bool)))

    @given(st.lists(st.tuples(st.integers(-3, 20), st.booleans()), min_size=1, max_size=40))
    def test_it_is_that_of_scipy(self, rows: list[tuple[int, bool]]) -> None:
        days = pd.Series([float(day) if day >= 0 else np.nan for day, _ in rows])
        ended = pd.Series([end for _, end in rows])
        known = days.notna()
        if not (known & ended).any():
            assert np.isnan(median_days(days, ended))
            return
        censored = stats.CensoredData.right_censored(days[known], ~ended[known])
        survival = stats.ecdf(censored).sf
        half = survival.quantiles[survival.probabilities <= 0.5 + 1e-12]
        expected = half[0] if len(half) else np.nan
        assert median_days(days, ended) == pytest.approx(expected, nan_ok=True)

    @given(
        st.lists(
            st.tuples(st.integers(0, 400), st.booleans(), st.integers(0, 50)),
            min_size=1,
            max_size=40,
        )
    )
    def test_waiting_longer_never_shortens_it(self, rows: list[tuple[int, bool, int]]) -> None:
        """Deals still open live longer than seen so far, never shorter."""
        days = pd.Series([float(day) for day, _, _ in rows])
        ended = pd.Series([end for _, end, _ in rows])
        longer = days + pd.Series([0 if end else more for _, end, more in rows])
        before, after = median_days(days, ended), median_days(longer, ended)
        assert np.isnan(after) or after >= before


def snapshot(on: str, rows: list[dict[str, Any]]) -> Any:
    return deals(rows, as_of=date.fromisoformat(on))


def at(number: int, milestone: str, closed: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": number, "milestone": milestone, "closed_at": closed, **more}


class TestMilestoneSteps:
    def test_by_hand(self) -> None:
        days = [
            snapshot("2026-01-31", [at(1, "Lead"), at(2, "Lead"), at(3, "Contract")]),
            snapshot(
                "2026-02-28",
                [at(1, "Proposal"), at(2, "Lead"), at(3, "Won", "2026-02-05"), at(4, "Lead"),
                 at(5, "Proposal")],
            ),
            snapshot(
                "2026-03-31",
                [at(1, "Lost", "2026-03-30"), at(2, "Lost", "2026-03-15"),
                 at(3, "Won", "2026-02-05"), at(4, "Lead")],
            ),
        ]  # fmt: skip
        table = calibration.milestone_steps(days).set_index("milestone")
        counts = ["reached", "moved_on", "lost", "undecided", "deleted"]
        assert table[counts].loc["Lead"].tolist() == [3, 1, 1, 1, 0]  # 1 moves, 2 lost, 4 waits
        assert table[counts].loc["Proposal"].tolist() == [2, 0, 1, 0, 1]  # 1 lost, 5 deleted
        assert table[counts].loc["Contract"].tolist() == [1, 1, 0, 0, 0]
        assert table["conversion"].tolist() == [0.5, 0.0, 1.0]
        # Deals of the first snapshot came at an unknown day. Of those that came to Proposal on
        # 28 February, 1 left on 30 March and 5 was last seen on the day itself.
        assert table.loc["Proposal", "days"] == 30
        assert np.isnan(table.loc["Lead", "days"])

    def test_going_back_is_not_moving_on(self) -> None:
        days = [
            snapshot("2026-01-31", [at(1, "Contract")]),
            snapshot("2026-02-28", [at(1, "Lead")]),
            snapshot("2026-03-31", [at(1, "Lost", "2026-03-10")]),
        ]
        table = calibration.milestone_steps(days).set_index("milestone")
        assert table["moved_on"].sum() == 0
        assert table.loc[["Lead", "Contract"], "lost"].tolist() == [1, 1]

    def test_last_milestone_known_from_the_close_shows_the_step_before_it(self) -> None:
        days = [
            snapshot("2026-01-31", [at(1, "Proposal")]),
            snapshot("2026-02-28", [at(1, "Lost", "2026-02-20", last_open_milestone="Contract")]),
        ]
        table = calibration.milestone_steps(days).set_index("milestone")
        assert table.loc["Proposal", ["moved_on", "lost"]].tolist() == [1, 0]
        assert table.loc["Contract", "reached"] == 0

    def test_back_dated_close_gives_no_negative_stay(self) -> None:
        days = [
            snapshot("2026-01-31", []),
            snapshot("2026-02-28", [at(1, "Lead")]),
            snapshot("2026-03-31", [at(1, "Won", "2026-02-10")]),
        ]
        assert calibration.milestone_steps(days).loc[0, "days"] == 0

    def test_order_of_snapshots_does_not_matter(self) -> None:
        days = [
            snapshot("2026-02-28", [at(1, "Won", "2026-02-10")]),
            snapshot("2026-01-31", [at(1, "Lead")]),
        ]
        pd.testing.assert_frame_equal(
            calibration.milestone_steps(days), calibration.milestone_steps(days[::-1])
        )

    def test_no_snapshots_and_late_snapshots_are_refused(self) -> None:
        with pytest.raises(ArgumentError, match="at least one snapshot"):
            calibration.milestone_steps([])
        january, march = snapshot("2026-01-31", []), snapshot("2026-03-31", [])
        with pytest.raises(ArgumentError, match="later than"):
            calibration.milestone_steps([march], january)
