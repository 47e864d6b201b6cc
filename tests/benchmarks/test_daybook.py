"""The second world: its lists look like lists, and its oracle knows exactly what can be known."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from daybook import EACH, HALVES, TEMPERAMENTS, YOUNG, World, firms, worlds
from projection import LEVELS, P10, P90, apart, periods

import capsule_analytics as ca


def small(temperament: str, months: int, other_seed: int = 0) -> World:
    """Take a firm of a group that nothing is chosen on, with fewer deals and months."""
    one = next(w for w in worlds("fresh") if w.temperament == temperament)
    firm = replace(
        one.account, seed=40_000 + other_seed, enquiries=0.7, months_before=8, growth=0.0
    )
    return World(one.name, temperament, "fresh", one.months[:months], firm)


def test_the_oracle_holds_what_it_promises() -> None:
    pit, held = [], []
    for number, temperament in enumerate(["freeze", "careless", "quarter_ends", "whale"]):
        for again in range(2):
            one = small(temperament, 7, 10 * number + again)
            for day in (one.months[2], one.months[-1]):
                for (currency, n), draws in one.oracle(day, periods(day)[:3:2], 60).items():
                    came = one.won(*periods(day)[2 * n])[currency]
                    low, high = np.quantile(draws, LEVELS[[P10, P90]])
                    held.append(low <= came <= high)
                    pit.append(((draws < came).mean() + (draws <= came).mean()) / 2)
    assert len(held) >= 32
    assert np.mean(held) == pytest.approx(0.8, abs=0.15)
    assert np.mean(pit) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("temperament", ["renamed", "careless"])
def test_snapshots_show_what_was_won_and_nothing_of_the_future(temperament: str) -> None:
    one = small(temperament, 12)
    one = replace(one, account=replace(one.account, renamed_in=6, deletes=0.3, clean_up=60.0))
    day = one.months[-1]
    frame = one.snapshot(day).opportunities
    assert frame.index.is_unique
    midnight = pd.Timestamp(day + timedelta(days=1), tz="UTC")
    for column in ("created_at", "updated_at", "closed_at", "last_stage_changed_at"):
        assert (frame[column].dropna() < midnight).all()
    assert frame.loc[frame["status"] == "open", "closed_at"].isna().all()
    won = frame[frame["status"] == "won"]
    start = day.replace(day=1)
    since = won[won["closed_at"] >= pd.Timestamp(start, tz="UTC")]
    for currency, amount in one.won(start, day + timedelta(days=1)).items():
        shown = since.loc[since["currency"] == currency, "tcv"].sum()
        assert shown == pytest.approx(amount)
    before = one.snapshot(one.months[3]).opportunities
    gone = before.index.difference(frame.index)
    assert (before.loc[gone, "status"] == "open").all()
    archived = one.snapshot(day).milestones["archived"]
    assert archived.any()
    assert len(ca.forecast.by_month(one.snapshot(day)))


def test_the_same_firm_is_drawn_every_time_and_no_two_are_alike() -> None:
    every = [firm for half in HALVES for firm in firms(half)]
    assert len(every) == len(HALVES) * ((len(TEMPERAMENTS) - 1) * EACH + YOUNG)
    assert len({firm.seed for firm in every}) == len(every)
    one = small("lumpy", 3)
    other = pickle.loads(pickle.dumps(one))  # noqa: S301 - made a line above
    day = one.months[-1]
    pd.testing.assert_frame_equal(
        one.snapshot(day).opportunities, other.snapshot(day).opportunities
    )


def test_month_ends_that_are_scored_lie_evenly_apart() -> None:
    months = [date(2024, month, 1) for month in range(1, 13)]
    assert apart(months, 20, 3) == months
    assert [day.month for day in apart(months, 4, 0)] == [1, 4, 7, 10]
    assert [day.month for day in apart(months, 4, 1)] == [2, 5, 8, 11]
