"""The third world: its lists look like lists, and its oracle knows exactly what can be known."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from buyers import EACH, HALVES, TEMPERAMENTS, YOUNG, World, firms, worlds
from projection import LEVELS, P10, P90, periods

import capsule_analytics as ca


def small(temperament: str, months: int, seed: int, **traits: Any) -> World:
    """Take a firm of a group that nothing is chosen on, with other customers and fewer months."""
    one = next(w for w in worlds("fresh") if w.temperament == temperament)
    firm = replace(one.account, seed=(90_000, seed), opened=1, months_seen=months, **traits)
    return World(one.name, temperament, "fresh", firm.months, firm)


def test_the_oracle_holds_what_it_promises() -> None:
    """P10 to P90 hold 80 %, and its mean is what comes on average, over twelve firms."""
    held, pit, error = [], [], []
    kinds = ["steady", "freeze", "careless", "whale", "tenders", "short_cycle"]
    for number, temperament in enumerate(2 * kinds):
        one = small(temperament, 4, number, needs=15.0)
        for day in (one.months[0], one.months[-1]):
            for (currency, n), draws in one.oracle(day, periods(day)[:3:2], 60).items():
                came = one.won(*periods(day)[2 * n])[currency]
                low, high = np.quantile(draws, LEVELS[[P10, P90]])
                held.append(low <= came <= high)
                pit.append(((draws < came).mean() + (draws <= came).mean()) / 2)
                error.append((draws.mean() - came) / draws.std())
    assert len(held) == 48
    assert np.mean(held) == pytest.approx(0.8, abs=0.15)
    assert np.mean(pit) == pytest.approx(0.5, abs=0.1)
    assert np.mean(error) == pytest.approx(0.0, abs=0.4)


def test_a_replay_does_not_change_what_it_replays() -> None:
    one = small("lumpy", 5, 30)
    day = one.months[2]
    first = one.oracle(day, periods(day), 20)
    again = one.oracle(day, periods(day), 20)
    assert all(np.array_equal(first[key], again[key]) for key in first)
    months = sum(first[one.account.currencies[0], n] for n in range(3))
    assert first[one.account.currencies[0], 3] == pytest.approx(months)


@pytest.mark.parametrize("temperament", ["renamed", "currencies"])
def test_snapshots_show_what_was_won_and_nothing_of_the_future(temperament: str) -> None:
    one = small(temperament, 9, 40, renamed_in=4, second_pipeline=True, contracts=0.5)
    for day in one.months[2::3]:
        frame = one.snapshot(day).opportunities
        assert frame.index.is_unique
        assert frame.index.is_monotonic_increasing
        midnight = pd.Timestamp(day + timedelta(days=1), tz="UTC")
        for column in ("created_at", "updated_at", "closed_at", "last_stage_changed_at"):
            assert (frame[column].dropna() < midnight).all()
        assert (frame["updated_at"] >= frame["created_at"]).all()
        assert frame["closed_at"].isna().equals(frame["status"] == "open")
        won = frame[frame["status"] == "won"]
        start = day.replace(day=1)
        since = won[won["closed_at"] >= pd.Timestamp(start, tz="UTC")]
        for currency, amount in one.won(start, day + timedelta(days=1)).items():
            shown = since.loc[since["currency"] == currency, "tcv"].sum()
            assert shown == pytest.approx(amount)
    last = one.snapshot(one.months[-1])
    assert last.milestones["archived"].any()
    assert set(last.opportunities["pipeline"]) == {"Sales", "New business", "Renewals"}
    assert set(one.snapshot(one.months[3]).opportunities["pipeline"]) == {"Sales"}
    assert len(ca.forecast.by_month(last))


def test_what_was_won_stays_won_and_what_was_lost_may_come_back() -> None:
    one = small("long_cycle", 12, 50, sprees=12.0, cycle=150.0)
    frames = [one.snapshot(day).opportunities for day in one.months]
    came_back = 0
    for before, after in pairwise(frames):
        won = before.index[before["status"] == "won"]
        pd.testing.assert_series_equal(before.loc[won, "tcv"], after.loc[won, "tcv"])
        assert (after.loc[won, "status"] == "won").all()
        lost = before.index[before["status"] == "lost"]
        came_back += int((after.loc[lost, "status"] != "lost").sum())
    assert came_back > 0


def test_the_same_firm_is_drawn_every_time_and_no_two_are_alike() -> None:
    every = [firm for half in HALVES for firm in firms(half)]
    assert len(every) == len(HALVES) * ((len(TEMPERAMENTS) - 1) * EACH + YOUNG)
    assert len({firm.seed for firm in every}) == len({firm.name for firm in every}) == len(every)
    one = small("young", 4, 60)
    other = pickle.loads(pickle.dumps(one))  # noqa: S301 - made a line above
    day = one.months[-1]
    pd.testing.assert_frame_equal(
        one.snapshot(day).opportunities, other.snapshot(day).opportunities
    )
