"""Hazards, new business, shocks and sums, each against figures worked by hand or known truth."""

from __future__ import annotations

import numpy as np
import pytest

from capsule_analytics.projection._evidence import (
    LOST,
    NEVER,
    OPEN,
    WON,
    Deals,
    History,
    Sightings,
    month_start,
)
from capsule_analytics.projection._fit import Evidence
from capsule_analytics.projection._new_business import (
    Kernel,
    Level,
    Values,
    expected_wins,
    intake_of,
    kernel_of,
    level_of,
    values_of,
    wins_of,
)
from capsule_analytics.projection._open_deals import outlook
from capsule_analytics.projection._shock import filter_shocks, season_of
from capsule_analytics.projection._totals import new_law, nodes_of, scaled, total_of
from capsule_analytics.projection._track import naive_law

FIRST = 2024 * 12
NOTHING = Values(np.zeros(1), np.ones(1))


def known_world(seed: int, deals: int = 500, months: int = 14) -> History:
    """Let deals be won at odds of 0.06 * 1.5**z * 1.8**pushes and lost at odds of 0.08."""
    draw = np.random.default_rng(seed)
    z, pushes = draw.normal(0, 1, deals).clip(-3, 3), draw.integers(0, 3, deals).astype(float)
    start = draw.integers(0, months - 1, deals)
    won = 0.06 * np.exp(np.log(1.5) * z + np.log(1.8) * np.log1p(pushes))
    total = 1 + won + 0.08
    end, kind = np.full(deals, NEVER), np.full(deals, OPEN)
    rows = []
    for number in range(months - 1):
        there = np.flatnonzero((start <= number) & (kind == OPEN))
        rows.append((there, np.full(len(there), month_start(FIRST + number + 1) - 1)))
        luck = draw.random(len(there))
        for way, low, high in (
            (WON, np.zeros(deals), won / total),
            (LOST, won / total, (won + 0.08) / total),
        ):
            gone = there[(luck >= low[there]) & (luck < high[there])]
            kind[gone], end[gone] = way, month_start(FIRST + number + 1) + 9
    deal, day = (np.concatenate(column) for column in zip(*rows, strict=True))
    count, none = len(deal), np.full(len(deal), -1)
    today = int(month_start(FIRST + months)) - 1
    nothing = np.full(count, np.nan)
    at = Sightings(
        deal=deal, day=day, seen=np.ones(count, bool), age=np.full(count, np.e - 1),
        at_milestone=np.zeros(count), since_update=np.zeros(count), since_contact=np.zeros(count),
        due=nothing, probability=np.full(count, 0.354), tcv=np.full(count, 100.0),
        relative=z[deal], milestone=none, pipeline=none, owner=none,
        currency=np.zeros(count, int), pushes=pushes[deal],
    )  # fmt: skip
    ones = np.zeros(deals, int)
    book = Deals(
        np.arange(deals), month_start(FIRST + start), end, kind, np.full(deals, 100.0),
        ones, ones - 1, ones - 1,
    )  # fmt: skip
    return History(
        today, FIRST, book, at, at.where(at.day == today), (today,), ("EUR",), (), (), (), "known"
    )


def test_known_odds_are_found_within_their_intervals_as_often_as_these_say() -> None:
    truth = {"value": np.log(1.5), "pushes": np.log(1.8)}
    inside = []
    for seed in range(24):
        history = known_world(seed)
        hazards = Evidence.of(history).fitted(history.today).hazards
        names = [f.name for f in hazards.design.features]
        spread = np.sqrt(np.diag(hazards.covariance))
        for name, value in truth.items():
            where = names.index(name)
            inside.append(abs(hazards.coef[0, where] - value) < 1.645 * spread[where])
    # Nine in ten of 48; fewer than 37 or all but none outside would be rarer than one in 200.
    assert sum(inside) >= 37


def test_what_becomes_of_a_deal_adds_up_to_one() -> None:
    history = known_world(3)
    hazards = Evidence.of(history).fitted(history.today).hazards
    some = history.sightings.where(np.arange(20))
    seen = outlook(hazards, some, 12)
    total = seen.won.sum(axis=1) + seen.lost.sum(axis=1) + seen.left
    assert total == pytest.approx(np.ones(20))
    assert (seen.won > 0).all()


def test_a_steady_level_is_found_with_its_uncertainty() -> None:
    level = level_of(np.array([9.0, 11, 10, 10, 8, 12, 10, 10, 9, 11]), np.ones(10), FIRST)
    assert level.mean == pytest.approx(10, abs=0.6)
    assert level.began is None
    assert 0.05 < np.sqrt(level.spread) < 0.25


def test_a_break_of_the_level_is_found_and_dated() -> None:
    counts = np.array([10.0] * 14 + [28.0, 31, 29, 30])
    level = level_of(counts, np.ones(18), FIRST)
    assert level.mean == pytest.approx(29, abs=2)
    assert level.began == FIRST + 14


def test_nothing_entered_is_no_level() -> None:
    level = level_of(np.zeros(3), np.ones(3), FIRST)
    assert 0 <= level.mean < 0.5


def test_deals_to_come_are_entered_and_won_month_by_month() -> None:
    level = Level(10.0, 0.0, 1.0, np.ones(12), None)
    kernel = Kernel(np.array([0.1, 0.2, 0.05]), 0.0)
    today = int(month_start(FIRST + 3)) - 1
    wins = expected_wins(level, kernel, today, 4, np.ones(12))
    assert wins == pytest.approx([1.0, 3.0, 3.5, 3.5])
    # Half of a month of 30 days left: half as many are entered, and they have half the time.
    half = expected_wins(level, kernel, today + 15, 2, np.ones(12))
    assert half == pytest.approx([10 * 0.5 * 0.1 * 0.5, 10 * 0.5 * 0.2 + 1.0])


def test_the_kernel_is_the_share_won_by_age() -> None:
    known = np.repeat(month_start(FIRST + np.arange(20)), 50)
    won = np.tile(np.arange(50) < 10, 20)
    end = np.where(won, month_start(FIRST + np.repeat(np.arange(20), 50) + 2) + 5, NEVER)
    kind = np.where(won, WON, OPEN)
    zeros = np.zeros(1000, int)
    deals = Deals(np.arange(1000), known, end, kind, np.ones(1000), zeros, zeros, zeros)
    today = int(month_start(FIRST + 20)) - 1
    kernel = kernel_of(wins_of(deals, FIRST, today, np.ones(12)))
    assert kernel.chance[2] == pytest.approx(0.2, abs=0.01)
    assert kernel.chance[[0, 1, 3, 4]].sum() < 0.02


def test_one_customer_that_dwarfs_the_rest_is_drawn_in() -> None:
    values = np.append(np.exp(np.random.default_rng(1).normal(7, 0.5, 40)), 2e6)
    zeros = np.zeros(41, int)
    deals = Deals(np.arange(41), zeros + 100, zeros + 130, zeros + WON, values, zeros, zeros, zeros)
    found = values_of(deals, 0, 200, 1)
    assert found.weight.sum() == pytest.approx(1.0)
    assert found.mean == pytest.approx(values[:40].mean(), rel=0.25)


def test_a_list_brought_along_is_no_intake() -> None:
    # 60 deals on the day of the import, two a month after it.
    known = np.append(
        np.full(60, int(month_start(FIRST))), month_start(FIRST + 1 + np.arange(8) // 2)
    )
    zeros = np.zeros(len(known), int)
    never = np.full(len(known), NEVER)
    deals = Deals(np.arange(len(known)), known, never, zeros, np.ones(len(known)), *[zeros] * 3)
    counts, share = intake_of(deals, 0, FIRST, int(month_start(FIRST + 5)) - 1)
    assert counts.tolist() == [0, 2, 2, 2, 2]
    assert level_of(counts, share, FIRST).mean == pytest.approx(2, rel=0.1)


def test_quick_deals_stand_for_business_won_soon() -> None:
    # Half are won within the month of entry and worth 100, half three months later and worth 1000.
    quick = np.arange(80) % 2 == 0
    known = month_start(FIRST + np.arange(80) // 8)
    end = known + np.where(quick, 5, 95)
    zeros = np.zeros(80, int)
    tcv = np.where(quick, 100.0, 1000.0)
    deals = Deals(np.arange(80), known, end, zeros + WON, tcv, zeros, zeros, zeros)
    today = int(month_start(FIRST + 14)) - 1
    assert values_of(deals, 0, today, 0).mean == pytest.approx(100, rel=0.4)
    assert values_of(deals, 0, today, 5).mean == pytest.approx(550, rel=0.2)


def test_quiet_months_are_taken_as_no_shock_and_a_freeze_as_one() -> None:
    usual = np.array([20.0, 22, 18, 21, 19, 20, 23, 17, 20, 20])
    flat, one = np.full(10, 20.0), np.ones(10)
    calm = filter_shocks(usual, flat, one)
    assert calm.now == pytest.approx(1.0, abs=0.06)
    frozen = filter_shocks(np.array([*usual[:7], 3.0, 2.0, 2.0]), flat, one)
    assert frozen.now < 0.3
    assert frozen.past[:5] == pytest.approx(np.zeros(5), abs=0.15)
    # It thaws some day: the further ahead, the nearer to usual.
    factors = [frozen.factors(np.eye(6)[month]) for month in range(6)]
    means = [float(values @ mass) for values, mass in factors]
    assert means == sorted(means)
    assert means[0] < 0.6 < means[5] < 1.1
    thawed = filter_shocks(np.array([*usual[:5], 3.0, 2.0, 2.0, 20.0, 21.0]), flat, one)
    assert thawed.now > 0.85


def test_very_many_wins_that_swing_far_are_still_told_apart() -> None:
    usual = np.full(8, 30_000.0)
    wins = usual * np.exp([0.0, 0.5, -0.5, 0.3, -0.7, 0.6, 0.0, 0.4])
    shock = filter_shocks(wins, usual, np.ones(8))
    assert np.isclose(shock.weights.sum(), 1.0)
    assert np.allclose(shock.past, np.log(wins / usual), atol=0.06)  # half a step of the grid
    assert 1.4 < shock.now < 1.6  # exp(0.4)


def test_a_common_factor_of_several_months_is_less_spread_than_of_one() -> None:
    draw = np.random.default_rng(2)
    wins = draw.poisson(30 * np.exp(draw.normal(0, 0.4, 30))).astype(float)
    shock = filter_shocks(wins, np.full(30, 30.0), np.ones(30))
    assert 0.2 < shock.strength < 0.6

    def spread(weights: np.ndarray) -> float:
        values, mass = shock.factors(weights)
        return float(mass @ values**2 - (mass @ values) ** 2)

    assert spread(np.ones(6)) < 0.6 * spread(np.array([1.0]))


def test_the_season_is_learnt_from_months_and_held_in() -> None:
    calendar = np.arange(36) % 12
    wins = np.where(calendar == 11, 60.0, 30.0)
    season = season_of(wins, np.full(36, 32.5), calendar)
    assert season.factor.mean() == pytest.approx(1.0)
    assert season.factor[11] == season.factor.max()
    assert 1.25 < season.factor[11] < 60 / 32.5
    # A stronger season speaks for itself, and is held in less.
    wins = np.where(calendar % 3 == 2, 60.0, 15.0)
    factor = season_of(wins, np.full(36, 30.0), calendar).factor
    assert factor[2::3] == pytest.approx(np.full(4, 2.0), rel=0.12)
    assert factor[::3] == pytest.approx(np.full(4, 0.5), rel=0.15)
    nothing = season_of(np.zeros(0), np.zeros(0), np.zeros(0, int))
    assert nothing.factor.tolist() == [1.0] * 12
    assert (nothing.spread > 0.1).all()


def test_new_business_has_the_mean_and_spread_of_its_count() -> None:
    values = Values(np.array([100.0, 400.0]), np.array([0.5, 0.5]))
    law = new_law(3.0, 0.2, values)
    mean = float(law.amounts @ law.mass)
    variance = float(law.mass @ (law.amounts - mean) ** 2)
    assert mean == pytest.approx(750)
    # E N times the second moment, and the spread of the mean of N.
    assert variance == pytest.approx(3 * 85_000 + 0.2 * 750**2, rel=1e-3)
    assert law.mass[0] == pytest.approx((1 + 0.2 * 3) ** -5, rel=1e-6)


def test_two_deals_under_one_factor() -> None:
    law = total_of(
        sure=5.0, values=np.array([10.0, 20.0]), chance=np.array([0.5, 0.5]), new_mean=0.0,
        new_spread=0.0, new_values=NOTHING, nodes=np.array([0.0, 2.0]),
        weights=np.array([0.5, 0.5]),
    )  # fmt: skip
    # Either nothing is won, or each with 1 - 0.5**2.
    outcomes = dict(zip((law.sure + law.law.amounts).tolist(), law.mass.tolist(), strict=True))
    expected = {5: 0.5 + 0.5 / 16, 15: 1.5 / 16, 25: 1.5 / 16, 35: 4.5 / 16}
    assert outcomes == pytest.approx(expected)
    assert law.mean == pytest.approx(5 + 0.5 * 0.75 * 30)
    assert law.cdf([4.9, 5.0, 20.0, 35.0]).tolist() == pytest.approx(
        [0.0, expected[5], expected[5] + expected[15], 1.0]
    )
    assert law.std == pytest.approx(np.sqrt(law.mass @ (law.law.amounts + 5 - law.mean) ** 2))


def test_quantiles_and_cdf_agree_on_a_lattice() -> None:
    draw = np.random.default_rng(4)
    law = total_of(
        sure=0.0, values=draw.uniform(50, 500, 80), chance=np.full(80, 0.2), new_mean=4.0,
        new_spread=0.3, new_values=Values(draw.uniform(50, 500, 9), np.full(9, 1 / 9)),
        nodes=np.array([0.7, 1.0, 1.3]), weights=np.array([0.25, 0.5, 0.25]),
    )  # fmt: skip
    levels = np.linspace(0.02, 0.98, 25)
    assert law.cdf(law.quantile(levels)) == pytest.approx(levels, abs=2e-3)
    assert float(law.values @ law.mass) == pytest.approx(law.mean, rel=1e-6)


def test_a_factor_is_summed_up_with_its_mean() -> None:
    nodes, weights = nodes_of(np.array([0.5, 1.0, 1.5]), np.array([0.2, 0.5, 0.3]), 0.2)
    assert weights.sum() == pytest.approx(1.0)
    assert nodes @ weights == pytest.approx(1.05, rel=1e-3)
    assert scaled(np.array([0.5, 0.0, 1.0]), 2.0) == pytest.approx([0.75, 0.0, 1.0])


def test_the_naive_spreads_by_its_own_past_ratios() -> None:
    law = naive_law(np.array([1.0, 1, 1, 2, 1, 1, 1, 1, 1, 1]), 0, 1)
    assert law is not None
    # Said and came: 1 and 2, 4/3 and 1 three times, then 1 and 1 three times.
    assert law.amounts == pytest.approx([0.75, 1.0, 2.0])
    assert law.mass == pytest.approx([3 / 7, 3 / 7, 1 / 7])
    assert naive_law(np.array([1.0, 0.0]), 0, 1) is None
