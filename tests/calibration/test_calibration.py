"""Outcomes of past sightings, win rates, and the correction of stated probabilities."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from deals import deals
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capsule_analytics import calibration, forecast, scenarios, targets
from capsule_analytics.errors import ArgumentError
from capsule_analytics.load._frame import milestone_frame

if TYPE_CHECKING:
    from capsule_analytics.schema import Pipeline

JANUARY, FEBRUARY, MARCH = date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)


def day(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def open_at(milestone: str, percent: int | None = None, **more: Any) -> dict[str, Any]:
    row = {"milestone": milestone, "probability": percent, "created_at": "2026-01-01T09:00:00Z"}
    return row | more


def ended(milestone: str, on: str, **more: Any) -> dict[str, Any]:
    return {"milestone": milestone, "closed_at": on} | more


@pytest.fixture
def january() -> Pipeline:
    return deals(
        [
            open_at("Lead", 10, id=1, value=100.0),
            open_at("Contract", 90, id=2, value=200.0),
            open_at("Proposal", 60, id=3, value=300.0),
            open_at("Proposal", 50, id=4),
            ended("Won", "2026-01-10", id=5),
        ],
        as_of=JANUARY,
    )


@pytest.fixture
def february() -> Pipeline:
    return deals(
        [
            open_at("Proposal", 50, id=1, value=150.0),
            ended("Lost", "2026-02-03", id=2),
            open_at("Proposal", 60, id=3, value=300.0),
        ],
        as_of=FEBRUARY,
    )


@pytest.fixture
def march() -> Pipeline:
    return deals(
        [
            ended("Won", "2026-03-20", id=1, value=150.0),
            ended("Lost", "2026-02-03", id=2, value=200.0),
            open_at("Proposal", 60, id=3, value=300.0),
        ],
        as_of=MARCH,
    )


class TestOutcomes:
    def test_one_row_a_deal_and_day(
        self, january: Pipeline, february: Pipeline, march: Pipeline
    ) -> None:
        rows = calibration.outcomes([january, february], march)
        assert rows["opportunity_id"].tolist() == [1, 2, 1]
        assert rows["day"].tolist() == [day("2026-01-31")] * 2 + [day("2026-02-28")]
        assert rows["milestone"].tolist() == ["Lead", "Contract", "Proposal"]
        assert rows["probability"].tolist() == [0.1, 0.9, 0.5]
        assert rows["tcv"].tolist() == [100.0, 200.0, 150.0]
        assert rows["age_days"].tolist() == [30.0, 30.0, 58.0]
        assert rows["won"].tolist() == [1, 0, 1]
        assert rows["known_on"].tolist() == [
            day("2026-03-20"), day("2026-02-03"), day("2026-03-20"),
        ]  # fmt: skip

    def test_open_and_deleted_deals_are_counted_but_have_no_outcome(
        self, january: Pipeline, february: Pipeline, march: Pipeline
    ) -> None:
        rows = calibration.outcomes([january, february], march)
        assert rows.attrs == {
            "snapshots": 2, "ended_deals": 2, "open_deals": 1, "deleted_deals": 1,
        }  # fmt: skip

    def test_order_of_snapshots_does_not_matter(
        self, january: Pipeline, february: Pipeline, march: Pipeline
    ) -> None:
        pd.testing.assert_frame_equal(
            calibration.outcomes([february, january], march),
            calibration.outcomes([january, february], march),
        )

    def test_of_two_snapshots_of_a_day_the_later_counts(self, march: Pipeline) -> None:
        early = deals([open_at("Lead", 10, id=1)], as_of=JANUARY)
        late = deals([open_at("Lead", 30, id=1)], as_of=JANUARY)
        late = type(late)(**{**vars(late), "loaded_at": late.loaded_at + pd.Timedelta(hours=8)})
        for order in ([early, late], [late, early]):
            assert calibration.outcomes(order, march)["probability"].tolist() == [0.3]

    def test_snapshot_later_than_final_is_refused(self, january: Pipeline, march: Pipeline) -> None:
        with pytest.raises(ArgumentError, match=r"2026-03-31 is later than .* 2026-01-31"):
            calibration.outcomes([march], january)

    def test_back_dated_close_is_not_known_while_the_deal_was_open(self) -> None:
        snapshot = deals([open_at("Lead", id=1)], as_of=FEBRUARY)
        final = deals([ended("Won", "2026-02-10", id=1)], as_of=MARCH)
        rows = calibration.outcomes([snapshot], final)
        assert rows["known_on"].tolist() == [day("2026-03-01")]

    def test_without_a_closing_day_the_last_change_tells(self) -> None:
        snapshot = deals([open_at("Lead", id=1)], as_of=JANUARY)
        final = deals(
            [{"id": 1, "milestone": "Won", "updated_at": "2026-03-05T14:00:00Z"}], as_of=MARCH
        )
        assert calibration.outcomes([snapshot], final)["known_on"].tolist() == [day("2026-03-05")]

    def test_reopened_deal_counts_by_how_it_ended_at_last(self) -> None:
        snapshots = [
            deals([open_at("Lead", id=1)], as_of=JANUARY),
            deals([ended("Lost", "2026-02-05", id=1)], as_of=FEBRUARY),
        ]
        final = deals([ended("Won", "2026-03-09", id=1)], as_of=MARCH)
        assert calibration.outcomes(snapshots, final)["won"].tolist() == [1]

    def test_without_snapshots_a_deal_stood_at_its_last_milestone_and_those_before(self) -> None:
        final = deals(
            [
                ended("Won", "2026-03-20", last_open_milestone="Contract"),
                ended("Lost", "2026-03-21", last_open_milestone="Proposal"),
                ended("Lost", "2026-03-22"),
                open_at("Lead"),
            ]
        )
        rows = calibration.outcomes([], final)
        assert list(zip(rows["opportunity_id"], rows["milestone"], strict=True))[:5] == [
            (1, "Lead"), (1, "Proposal"), (1, "Contract"), (2, "Lead"), (2, "Proposal"),
        ]  # fmt: skip
        assert rows["milestone"].isna().tolist() == [False] * 5 + [True]
        assert rows["probability"].isna().all()
        rates = calibration.win_rates(rows)
        assert rates["key"].tolist()[:3] == ["Lead", "Proposal", "Contract"]
        assert rates["deals"].tolist() == [2, 2, 1, 1]
        assert rates["won"].tolist() == [1, 1, 1, 0]

    def test_the_last_milestone_is_known_by_its_id(self) -> None:
        """Both pipelines have a Proposal; the deal moved from the one to the other and was won."""
        milestones = [
            {"id": 1, "name": "Lead", "probability": 10, "pipeline": "Sales"},
            {"id": 2, "name": "Proposal", "probability": 50, "pipeline": "Sales"},
            {"id": 12, "name": "Proposal", "probability": 5, "pipeline": "Partners"},
            {"id": 14, "name": "Won", "probability": 100, "pipeline": "Partners", "complete": True},
        ]
        final = deals(
            [
                ended("Won", "2026-03-20", milestone_id=14, pipeline="Partners")
                | {"last_open_milestone": "Proposal", "last_open_milestone_id": 2}
            ]
        )
        table = milestone_frame([{"complete": False} | one for one in milestones], typed=True)
        won = final.opportunities.assign(status="won")
        rows = calibration.outcomes([], replace(final, opportunities=won, milestones=table))
        assert sorted(rows["milestone"]) == ["Lead", "Proposal"]

    def test_nothing_ended(self, january: Pipeline) -> None:
        rows = calibration.outcomes([january], january)
        assert len(rows) == 0
        assert rows.attrs["open_deals"] == 4
        assert calibration.win_rates(rows)["deals"].tolist() == [0, 0, 0]
        assert calibration.reliability(rows).empty
        assert calibration.scores(rows)["brier"].isna().all()
        assert np.isnan(calibration.brier_decomposition(rows)["brier"])
        assert calibration.fit(rows) == calibration.Calibration()

    def test_input_is_left_as_it_was(self, january: Pipeline, march: Pipeline) -> None:
        before = january.opportunities.copy(), march.opportunities.copy()
        calibration.calibrate(january, calibration.fit(calibration.outcomes([january], march)))
        pd.testing.assert_frame_equal(january.opportunities, before[0])
        pd.testing.assert_frame_equal(march.opportunities, before[1])


def seen(
    groups: dict[str, tuple[int, int]], *, sightings: int = 1, column: str = "milestone"
) -> pd.DataFrame:
    """Write out deals by group: how many there are, and how many of them were won."""
    rows = [
        {column: name, "won": int(number < won)}
        for name, (count, won) in groups.items()
        for number in range(count)
    ]
    frame = pd.DataFrame(rows).assign(opportunity_id=range(len(rows)))
    return pd.concat([frame] * sightings, ignore_index=True)


class TestWinRates:
    def test_rates_by_hand(self) -> None:
        """One group: the account's own rate is the prior, worth two deals."""
        table = calibration.win_rates(seen({"me": (3, 3)}, column="owner"), by="owner")
        prior = 3.5 / 4
        assert table.attrs["prior_rate"] == prior
        assert table.attrs["prior_deals"] == 2
        row = table.loc[0]
        assert (row["deals"], row["won"], row["raw_rate"]) == (3, 3, 1.0)
        assert row["rate"] == pytest.approx((3 + 2 * prior) / 5)  # 0.95: three wins are not 100 %
        assert row["small_sample"]
        posterior = stats.beta(3 + 2 * prior, 2 * (1 - prior))
        assert [row["low"], row["high"]] == pytest.approx(posterior.ppf([0.1, 0.9]).tolist())

    def test_like_groups_are_shrunk_together_and_unlike_ones_kept_apart(self) -> None:
        like = calibration.win_rates(seen({"a": (40, 19), "b": (40, 21)}, column="owner"), "owner")
        unlike = calibration.win_rates(seen({"a": (40, 2), "b": (40, 38)}, column="owner"), "owner")
        assert like.attrs["prior_deals"] == 200
        assert like["rate"].tolist() == pytest.approx([119 / 240, 121 / 240])
        assert unlike.attrs["prior_deals"] < 3
        assert unlike["rate"].tolist() == pytest.approx([0.05, 0.95], abs=0.04)

    def test_strength_of_the_prior_is_the_most_likely_one(self) -> None:
        groups = {"a": (20, 4), "b": (30, 15), "c": (25, 17), "d": (5, 4)}
        table = calibration.win_rates(seen(groups, column="owner"), "owner")
        mean, best = table.attrs["prior_rate"], table.attrs["prior_deals"]

        def likelihood(strength: float) -> float:
            laws = [
                stats.betabinom(n, strength * mean, strength * (1 - mean)).logpmf(k)
                for n, k in groups.values()
            ]
            return float(sum(laws))

        assert 2 < best < 200
        assert likelihood(best) > likelihood(best * 1.05)
        assert likelihood(best) > likelihood(best / 1.05)

    def test_strength_found_again_in_drawn_groups(self) -> None:
        """300 owners whose true rates scatter like Beta(6, 6) around a half."""
        chance = np.random.default_rng(7)
        groups = {
            f"{owner:03}": (30, int(chance.binomial(30, chance.beta(6, 6)))) for owner in range(300)
        }
        table = calibration.win_rates(seen(groups, column="owner"), "owner")
        assert table.attrs["prior_deals"] == pytest.approx(12, rel=0.3)

    def test_more_sightings_of_the_same_deals_change_nothing(self) -> None:
        groups = {"Lead": (6, 1), "Contract": (4, 3)}
        pd.testing.assert_frame_equal(
            calibration.win_rates(seen(groups)), calibration.win_rates(seen(groups, sightings=7))
        )

    def test_milestone_never_seen_has_the_prior(self, january: Pipeline, march: Pipeline) -> None:
        table = calibration.win_rates(calibration.outcomes([january], march)).set_index("key")
        assert table.index.tolist() == ["Lead", "Proposal", "Contract"]
        never = table.loc["Proposal"]
        assert (never["deals"], never["small_sample"]) == (0, True)
        assert np.isnan(never["raw_rate"])
        assert never["rate"] == pytest.approx(0.5)

    @given(
        st.lists(
            st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
            min_size=1,
            max_size=6,
        )
    )
    def test_rates_lie_between_raw_rate_and_prior(self, counts: list[tuple[int, int]]) -> None:
        groups = {str(number): count for number, count in enumerate(counts)}
        table = calibration.win_rates(seen(groups, column="owner"), "owner")
        prior = table.attrs["prior_rate"]
        low = table["raw_rate"].clip(upper=prior)
        high = table["raw_rate"].clip(lower=prior)
        assert table["rate"].between(low - 1e-12, high + 1e-12).all()
        assert table["rate"].between(0, 1, inclusive="neither").all()
        assert (table["low"] < table["high"]).all()

    def test_all_won_and_all_lost_are_not_certain(self) -> None:
        for won in (0, 20):
            row = calibration.win_rates(seen({"a": (20, won)}, column="owner"), "owner").loc[0]
            assert 0 < row["rate"] < 1

    def test_value_bands_within_currency(self) -> None:
        rows = pd.DataFrame(
            {
                "opportunity_id": range(6),
                "currency": ["GBP", "GBP", "GBP", "GBP", "USD", None],
                "tcv": [1000.0, 2000.0, 3000.0, None, 9.0, 5.0],
                "won": [1, 0, 1, 1, 0, 1],
            }
        )
        given_edges = calibration.win_rates(
            rows, by="value_band", value_edges={"GBP": [2000], "USD": []}
        )
        assert given_edges["key"].fillna("?").tolist() == [
            "GBP under 2,000", "GBP 2,000 and over", "USD all", "?",
        ]  # fmt: skip
        assert given_edges["deals"].tolist() == [1, 2, 1, 2]
        halves = calibration.win_rates(rows, by="value_band", bands=2)
        assert halves["key"].iloc[:2].tolist() == ["GBP under 2,000", "GBP 2,000 and over"]
        with pytest.raises(ArgumentError, match="USD"):
            calibration.win_rates(rows, by="value_band", value_edges={"GBP": [2000]})

    def test_deal_counts_once_in_every_age_band_it_was_seen_in(self) -> None:
        rows = pd.DataFrame(
            {"opportunity_id": [1, 1, 1, 2], "age_days": [10, 20, 30, 31], "won": [1, 1, 1, 0]}
        )
        table = calibration.win_rates(rows, by="age_band", age_edges=[90, 30])
        assert table["key"].tolist() == ["under 30 days", "30 to 90 days"]
        assert table["deals"].tolist() == [1, 2]
        assert table["won"].tolist() == [1, 1]

    def test_what_is_left_out_of_conversion_does_not_count(self) -> None:
        """Ann: 1 won, 2 lost, 1 of them entered twice. Bo: one entered twice alone."""
        final = deals(
            [
                ended("Won", "2026-01-10", owner="ann"),
                ended("Lost", "2026-01-20", owner="ann"),
                ended("Lost", "2026-02-02", owner="ann"),
                ended("Lost", "2026-02-03", owner="bo"),
                ended("Won", "2026-02-04", owner="cy"),
                ended("Lost", "2026-02-05", owner="cy"),
            ]
        )
        counts = pd.array([None, None, False, False, None, True], dtype="boolean")
        frame = final.opportunities.assign(counts_for_conversion=counts)
        final = replace(final, opportunities=frame)
        rows = calibration.outcomes([], final)
        assert rows["counts_for_conversion"].tolist() == [True, True, False, False, True, True]
        table = calibration.win_rates(rows, by="owner")
        columns = ["key", "deals", "won", "left_out", "raw_rate", "rate_of_all"]
        assert table[columns].fillna(-1).to_numpy().tolist() == [
            ["ann", 2, 1, 1, 1 / 2, 1 / 3],
            ["bo", 0, 0, 1, -1, 0],
            ["cy", 2, 1, 0, 1 / 2, 1 / 2],
        ]
        prior = 2.5 / 5  # 2 won of 4 that count
        assert table.attrs["prior_rate"] == prior
        assert (table.attrs["deals"], table.attrs["left_out"]) == (4, 2)
        strength = table.attrs["prior_deals"]
        expected = [(1 + strength * prior) / (2 + strength), prior]
        assert table["rate"].tolist()[:2] == pytest.approx(expected)

        every = calibration.win_rates(rows, by="owner", conversion=False)
        assert every[["deals", "won", "left_out"]].to_numpy().tolist() == [
            [3, 1, 0], [1, 0, 0], [2, 1, 0],
        ]  # fmt: skip
        assert every["raw_rate"].tolist() == every["rate_of_all"].tolist() == [1 / 3, 0, 1 / 2]
        assert every.attrs["prior_rate"] == 2.5 / 7

    def test_by_several_keys_and_the_period_of_the_close(self) -> None:
        final = deals(
            [
                ended("Won", "2026-01-10", owner="ann"),
                ended("Lost", "2026-03-31", owner="ann"),
                ended("Won", "2026-04-01", owner="ann"),
                ended("Lost", "2026-04-02", owner="bo"),
                ended("Lost", "2026-04-03"),
                {"milestone": "Won", "owner": "bo", "expected_close": "2025-12-31"},
                {"milestone": "Won", "owner": "bo"},
            ],
            as_of=date(2026, 6, 30),
        )
        rows = calibration.outcomes([], final)
        table = calibration.win_rates(rows, by=["owner", "quarter"])
        told = [
            [row["owner"], str(row["quarter"]), row["deals"], row["won"]]
            for row in table.assign(owner=table["owner"].fillna("nobody")).to_dict("records")
        ]
        assert told == [
            ["ann", "2026Q1", 2, 1],
            ["ann", "2026Q2", 1, 1],
            ["bo", "2025Q4", 1, 1],  # no closing day: the expected one
            ["bo", "2026Q2", 1, 0],
            ["bo", "NaT", 1, 1],
            ["nobody", "2026Q2", 1, 0],
        ]
        assert table.attrs["by"] == ["owner", "quarter"]
        months = calibration.win_rates(rows, by="month")
        assert months["key"].fillna("?").tolist() == [
            "2025-12", "2026-01", "2026-03", "2026-04", "?",
        ]  # fmt: skip
        assert months["deals"].tolist() == [1, 1, 1, 3, 1]
        fiscal = calibration.win_rates(rows, by=["year"], fiscal_year_start=4)
        assert [str(year) for year in fiscal["year"]] == ["2026", "2027", "NaT"]
        assert fiscal["deals"].tolist() == [3, 3, 1]

    def test_a_renamed_owner_is_one_person(self) -> None:
        def held(name: str, status: str, closed: str | None = None) -> dict[str, Any]:
            row = {"milestone": status, "closed_at": closed, "created_at": "2026-01-01T09:00:00Z"}
            return row | {"owner": name, "owner_id": 7}

        snapshots = [
            deals([held("ada", "Lead"), held("ada", "Lead")], as_of=JANUARY),
            deals([held("ada.b", "Lead"), held("ada.b", "Lost", "2026-02-03")], as_of=FEBRUARY),
        ]
        final = deals(
            [held("ada.king", "Won", "2026-03-20"), held("ada.king", "Lost", "2026-02-03")],
            as_of=MARCH,
        )
        table = calibration.win_rates(calibration.outcomes(snapshots, final), by="owner")
        assert table[["key", "deals", "won"]].to_numpy().tolist() == [["ada.king", 2, 1]]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"by": "colour"}, "milestone, owner"),
            ({"by": ["owner", "colour"]}, "not 'colour'"),
            ({"by": []}, "not nothing"),
            ({"by": "year", "fiscal_year_start": 13}, "1 to 12"),
            ({"level": 1}, "level"),
            ({"by": "value_band", "bands": 0}, "bands"),
            ({"by": "age_band", "age_edges": [float("nan")]}, "finite"),
        ],
    )
    def test_invalid_options(
        self, options: dict[str, Any], message: str, january: Pipeline
    ) -> None:
        with pytest.raises(ArgumentError, match=message):
            calibration.win_rates(calibration.outcomes([january], january), **options)


def sighted(
    probability: list[float],
    won: list[int],
    *,
    age: float = 60,
    month: str = "2026-01-31",
    known: str = "2026-02-15",
    first_id: int = 0,
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "opportunity_id": range(first_id, first_id + len(won)),
            "day": day(month),
            "milestone": "Proposal",
            "probability": probability,
            "age_days": age,
            "known_on": day(known),
            "won": won,
        }
    )


class TestFit:
    def test_probabilities_that_were_right_stay(self) -> None:
        rows = sighted([0.25] * 400 + [0.75] * 400, [1, 0, 0, 0] * 100 + [1, 1, 1, 0] * 100)
        model = calibration.fit(rows)
        assert (model.intercept, model.slope, model.age_slope) == pytest.approx((0, 1, 0), abs=1e-4)
        assert (model.deals, model.won) == (800, 400)

    def test_many_deals_outweigh_the_prior(self) -> None:
        """90 % that come true half the time, 10 % that come true one time in ten."""
        rows = sighted([0.9] * 1000 + [0.1] * 1000, [1, 0] * 500 + ([1] + [0] * 9) * 100)
        learnt = calibration.fit(rows).predict(
            pd.DataFrame({"probability": [0.9, 0.1], "age_days": 60})
        )
        assert learnt.tolist() == pytest.approx([0.5, 0.1], abs=0.01)

    def test_coefficients_are_the_most_probable_ones(self) -> None:
        """At the maximum the gradient of log likelihood and log prior is zero."""
        rows = sighted([0.9, 0.9, 0.5, 0.5, 0.2, 0.1], [1, 0, 1, 0, 0, 0])
        rows["age_days"] = [5, 200, 40, 90, 300, 10]
        model = calibration.fit(rows)
        miss = rows["won"] - model.predict(rows)
        logit = np.log(rows["probability"] / (1 - rows["probability"]))
        age = np.log((1 + rows["age_days"]) / 61)
        assert miss.sum() == pytest.approx(model.intercept, abs=1e-4)
        assert (miss * logit).sum() == pytest.approx(model.slope - 1, abs=1e-4)
        assert (miss * age).sum() == pytest.approx(model.age_slope, abs=1e-4)

    def test_sightings_of_one_deal_are_no_new_evidence(self) -> None:
        once = sighted([0.9] * 6, [1, 0, 0, 0, 0, 0])
        often = pd.concat([once] * 12, ignore_index=True)
        a, b = calibration.fit(once), calibration.fit(often)
        assert (a.intercept, a.slope) == pytest.approx((b.intercept, b.slope), abs=1e-4)
        assert a.deals == b.deals == 6

    def test_old_deals_that_were_lost_lower_old_deals_only(self) -> None:
        rows = pd.concat(
            [
                sighted([0.5] * 200, [1, 0] * 100, age=30),
                sighted([0.5] * 200, [0] * 180 + [1] * 20, age=360, first_id=200),
            ]
        )
        model = calibration.fit(rows)
        young, old = model.predict(pd.DataFrame({"probability": 0.5, "age_days": [30, 360]}))
        assert young == pytest.approx(0.5, abs=0.03)
        assert old == pytest.approx(0.1, abs=0.03)

    def test_certain_and_impossible_statements_do_not_break_it(self) -> None:
        model = calibration.fit(sighted([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [0, 0, 1, 1, 0, 0]))
        learnt = model.predict(pd.DataFrame({"probability": [1.0, 0.0], "age_days": 60}))
        assert learnt.between(0, 1, inclusive="neither").all()

    @pytest.mark.parametrize("won", [[1] * 8, [0] * 8])
    def test_all_won_or_all_lost_is_not_certainty(self, won: list[int]) -> None:
        learnt = calibration.fit(sighted([0.5] * 8, won)).predict(sighted([0.5], [0]))
        assert 0.1 < learnt.iloc[0] < 0.9

    def test_four_deals_teach_nothing(self) -> None:
        model = calibration.fit(sighted([0.9] * 4, [0] * 4))
        assert repr(model) == "<Calibration on 4 ended deals: too few, nothing is corrected>"
        assert model.predict(sighted([0.9, 1.0], [0, 0])).tolist() == [0.9, 1.0]

    @given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=5, max_size=40))
    def test_predictions_are_probabilities_whatever_was_seen(
        self, seen_: list[tuple[float, int]]
    ) -> None:
        rows = sighted([p for p, _ in seen_], [y for _, y in seen_])
        assert calibration.fit(rows).predict(rows).between(0, 1).all()


class TestCalibrate:
    MODEL = calibration.Calibration(intercept=-1.0, slope=1.0, deals=50, won=20)

    def test_only_open_deals_are_corrected(self, january: Pipeline) -> None:
        chances = calibration.calibrate(january, self.MODEL).opportunities["calibrated"]
        assert chances[5] == january.opportunities["probability"][5] == 1  # won
        # logit(0.5) = 0, so 50 % becomes 1 / (1 + e)
        assert chances[4] == pytest.approx(1 / (1 + np.e))

    def test_forecast_takes_them(self, january: Pipeline) -> None:
        pipeline = calibration.calibrate(january, self.MODEL)
        table = forecast.by_month(pipeline, probability="calibrated")
        frame = pipeline.opportunities
        assert table["weighted_value"].sum() == pytest.approx(
            (frame["tcv"] * frame["calibrated"]).sum()
        )
        by_id = forecast.by_month(january, probability=frame["calibrated"])
        pd.testing.assert_frame_equal(by_id, table)

    def test_every_figure_takes_the_word(self, january: Pipeline) -> None:
        pipeline = calibration.calibrate(january, self.MODEL)
        chances = pipeline.opportunities["calibrated"]
        goals = pd.DataFrame({"period": ["2026-03"], "currency": ["GBP"], "target": [1e4]})
        for function in (
            forecast.revenue_schedule, scenarios.by_category,
            partial(targets.attainment, targets=goals),
        ):  # fmt: skip
            by_word = function(pipeline, probability="calibrated")
            pd.testing.assert_frame_equal(by_word, function(january, probability=chances))

    def test_the_word_without_the_column_and_other_words(self, january: Pipeline) -> None:
        with pytest.raises(ArgumentError, match=r"add them with calibration\.calibrate"):
            forecast.by_month(january, probability="calibrated")
        with pytest.raises(ArgumentError, match="or 'calibrated', not 'guessed'"):
            forecast.by_month(january, probability="guessed")

    def test_age_counts_from_the_day_of_creation(self, january: Pipeline) -> None:
        """Created at nine on 1 January, seen on the 31st: 30 days."""
        model = calibration.Calibration(age_slope=-1.0, deals=50)
        expected = 0.5 * 61 / 31 / (0.5 * 61 / 31 + 0.5)  # odds times 61 / 31
        frame = calibration.calibrate(january, model).opportunities
        assert frame["calibrated"][4] == pytest.approx(expected)

    def test_closed_deals_and_unknown_probabilities_stay(self) -> None:
        frame = pd.DataFrame(
            {"probability": [1.0, 0.0, np.nan, 0.5], "status": ["won", "lost", "open", "open"],
             "age_days": [1.0, 1.0, 1.0, np.nan]}
        )  # fmt: skip
        learnt = self.MODEL.predict(frame)
        assert learnt.iloc[:2].tolist() == [1.0, 0.0]
        assert np.isnan(learnt.iloc[2])
        assert learnt.iloc[3] == pytest.approx(1 / (1 + np.e))  # age unknown: as of 60 days

    def test_ages_must_be_known(self) -> None:
        with pytest.raises(ArgumentError, match="age_days"):
            self.MODEL.predict(pd.DataFrame({"probability": [0.5]}))

    def test_higher_stated_stays_higher(self) -> None:
        ladder = self.MODEL.predict(sighted([0.0, 0.1, 0.5, 0.9, 1.0], [0] * 5)).tolist()
        assert all(a < b for a, b in pairwise(ladder))


class TestOutOfSample:
    def test_only_what_was_known_on_the_day_is_used(self) -> None:
        """Deals of January that end in March cannot teach February anything."""
        past = sighted([0.5] * 6, [0] * 6, known="2026-02-15")
        later = sighted([0.5] * 6, [1] * 6, known="2026-03-15", first_id=100)
        test = sighted([0.5], [1], month="2026-02-28", known="2026-04-01", first_id=200)
        row = calibration.predictions(pd.concat([past, later, test])).iloc[0]
        assert row["base_rate"] == 0.0
        assert row["win_rate"] == pytest.approx(2 * (0.5 / 7) / (6 + 2))
        assert row["calibrated"] == calibration.fit(past).predict(test).iloc[0] < 0.3

    def test_outcomes_of_later_days_do_not_change_earlier_predictions(self) -> None:
        rows = pd.concat(
            [
                sighted([0.5, 0.9] * 5, [0, 1] * 5),
                sighted([0.5, 0.9], [0, 1], month="2026-02-28", known="2026-03-15", first_id=20),
                sighted([0.5, 0.9], [0, 1], month="2026-03-31", known="2026-04-15", first_id=30),
            ],
            ignore_index=True,
        )
        turned = rows.assign(
            won=rows["won"].where(rows["day"] == day("2026-01-31"), 1 - rows["won"])
        )
        at_february = slice(0, 2)
        columns = ["base_rate", "win_rate", "calibrated"]
        pd.testing.assert_frame_equal(
            calibration.predictions(rows)[columns].iloc[at_february],
            calibration.predictions(turned)[columns].iloc[at_february],
        )

    def test_scores_by_hand(self) -> None:
        rows = pd.concat(
            [
                sighted([0.5] * 6, [0] * 6),
                sighted([0.9, 0.5], [0, 1], month="2026-02-28", known="2026-03-15", first_id=20),
            ],
            ignore_index=True,
        )
        table = calibration.scores(rows).set_index("which")
        assert table["deals"].tolist() == [2] * 4
        assert table.loc["stated", "brier"] == pytest.approx((0.81 + 0.25) / 2)
        assert table.loc["base_rate", "brier"] == pytest.approx(0.5)
        assert table.loc["stated", "log_loss"] == pytest.approx((-np.log(0.1) - np.log(0.5)) / 2)
        # The base rate said 0 % and one was won: taken as 0.1 %.
        assert table.loc["base_rate", "log_loss"] == pytest.approx(
            (-np.log(0.001) - np.log(0.999)) / 2
        )
