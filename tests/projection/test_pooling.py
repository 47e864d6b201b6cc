"""What accounts of a group learn from each other, and what they bring together."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from grown_group import Grown, grown_group

from capsule_analytics.errors import ArgumentError
from capsule_analytics.projection import Lesson, Share, fit, lesson, pool, total_of_shares
from capsule_analytics.projection._fit import Months
from capsule_analytics.projection._group import _Sums
from capsule_analytics.projection._known import ALONE, Known
from capsule_analytics.projection._lessons import lesson_days
from capsule_analytics.projection._shock import Season, filter_shocks
from capsule_analytics.projection._totals import Projected
from capsule_analytics.risk import Law

FIRST = 2024 * 12
GROUPS = (200, 201)
"""Seeds, fixed before the first look."""


DAY = date(2024, 5, 31)


def lessons_of(group: list[Grown]) -> list[Lesson]:
    return [lesson(account.seen, group[0].seen[-1].as_of) for account in group]


@pytest.fixture(scope="module")
def groups() -> list[list[Grown]]:
    return [grown_group(10, 5, seed=seed) for seed in GROUPS]


@pytest.fixture(scope="module")
def lessons(groups: list[list[Grown]]) -> list[list[Lesson]]:
    return [lessons_of(group) for group in groups]


def test_small_accounts_are_projected_better_with_their_group(
    groups: list[list[Grown]], lessons: list[list[Lesson]]
) -> None:
    """Twenty accounts of some fifteen deals: the months after, which nobody has seen, by CRPS."""
    alone, drawn = [], []
    for group, of_group in zip(groups, lessons, strict=True):
        told = pool(of_group, DAY)
        start, end = date(2024, 6, 1), date(2024, 9, 1)
        for account in group:
            came = sum(account.won_later)
            models = fit(account.seen), fit(account.seen, prior=told.prior(account.name))
            for model, scores in zip(models, (alone, drawn), strict=True):
                scores.append(model.distribution(start, end).law.crps(came))
    assert np.mean(drawn) < 0.97 * np.mean(alone)


def test_coefficients_are_drawn_to_what_is_usual_in_the_group(
    groups: list[list[Grown]], lessons: list[list[Lesson]]
) -> None:
    """In this world a lead is next to never won, and a contract nearly every second month."""
    account = groups[0][0]
    prior = pool(lessons[0], DAY).prior(account.name)
    rows = [fit(account.seen), fit(account.seen, prior=prior)]
    alone, drawn = (model.summary().set_index("feature")["won"] for model in rows)

    def apart(won: pd.Series) -> float:
        return float(won["milestone_Contract"] / won["milestone_Lead"])

    assert apart(drawn) > apart(alone)
    told = prior.at(10**6)
    assert told.taught > 50
    # Milestones are told apart in each group; the level of all is the intercept's matter.
    for group, of_group in zip(groups, lessons, strict=True):
        centres = pool(of_group, DAY).prior(group[0].name).at(10**6).centres
        assert centres["milestone_Contract"].win > centres["milestone_Lead"].win + 0.02


def test_the_order_of_accounts_does_not_matter(lessons: list[list[Lesson]]) -> None:
    one, other = (pool(given, DAY) for given in (lessons[0], lessons[0][::-1]))
    known, same = one.prior("a03").at(10**6), other.prior("a03").at(10**6)
    assert known.centres == same.centres
    assert np.array_equal(known.kinds, same.kinds)
    assert np.array_equal(known.wins.chance, same.wins.chance)
    assert one.shared(date(2024, 6, 1), date(2024, 7, 1)) == other.shared(
        date(2024, 6, 1), date(2024, 7, 1)
    )


def test_what_an_account_told_is_taken_out_of_its_own_prior(lessons: list[list[Lesson]]) -> None:
    """Of two accounts each starts from the other alone; a third one from both."""
    first, second = lessons[0][:2]
    told = pool([first, second], DAY)
    by_second, by_both = told.prior(first.account).at(10**6), told.prior("another").at(10**6)
    assert by_second.taught < by_both.taught
    assert by_second.centres["intercept"].spread > by_both.centres["intercept"].spread
    assert pool([first], DAY).prior(first.account).at(10**6) is ALONE


def test_without_a_group_nothing_is_known() -> None:
    group = pool([], date(2024, 6, 30))
    assert group.prior("a00").known == ()
    assert group.shared(date(2024, 7, 1), date(2024, 8, 1)) == 0.0


def test_two_lessons_of_one_account_are_refused(lessons: list[list[Lesson]]) -> None:
    with pytest.raises(ArgumentError, match="two lessons are of the account 'a00'"):
        pool([lessons[0][0], lessons[0][0]], DAY)


def test_nothing_of_the_future_reaches_what_was_known_earlier() -> None:
    """Other endings and values in the last three months leave what was known before alone."""
    group = grown_group(3, 8, seed=3)
    day = group[0].seen[-1].as_of
    before = lesson_days(day)[-2]
    later = pd.Timestamp("2024-05-31", tz="UTC")
    changed = []
    for account in group:
        seen = []
        for pipeline in account.seen:
            frame = pipeline.opportunities.copy()
            ended = (frame["closed_at"] > later).to_numpy()
            frame["status"] = frame["status"].astype("object")
            frame.loc[ended, "status"] = "lost"
            frame["tcv"] = np.where(ended, 77.0, frame["tcv"])
            seen.append(replace(pipeline, opportunities=frame))
        changed.append(replace(account, seen=seen))
    one, other = (
        pool(lessons_of(given), day).prior("a00").at(before) for given in (group, changed)
    )
    assert one.centres
    assert one.centres == other.centres
    assert np.array_equal(one.kinds, other.kinds)
    assert one.wins.wins == other.wins.wins


def summed(seed: int, *, shared: float, frozen: int = 0, own: float = 0.1) -> _Sums:
    """Sum what twelve accounts won in 30 months, of three deals each expected."""
    draw = np.random.default_rng(seed)
    common = np.exp(draw.normal(0, shared, 30))
    common[30 - frozen :] = 0.1
    flat = np.full(30, 3.0)
    each = [
        Months(FIRST, draw.poisson(flat * common * np.exp(draw.normal(0, own, 30))) * 1.0, flat,
               np.ones(30))
        for _ in range(12)
    ]  # fmt: skip
    sums = _Sums.over(each[0], FIRST, FIRST + 30)
    for one in each[1:]:
        sums = sums.plus(_Sums.over(one, FIRST, FIRST + 30))
    return sums


def test_a_shared_shock_is_found_where_there_is_one() -> None:
    """Where accounts only have their own, the shared one is weak, however strong those are."""
    quiet = Season(np.ones(12), np.zeros(12))
    calm, apart, shaken = (
        np.mean([summed(n, shared=shared, own=own).shock(quiet).strength for n in range(10)])
        for shared, own in ((0.0, 0.1), (0.0, 0.5), (0.4, 0.1))
    )
    assert calm < 0.15
    assert apart < 0.2
    assert shaken == pytest.approx(0.4, abs=0.08)


def test_a_freeze_of_the_market_is_learnt_from_all() -> None:
    """One account with three deals a month cannot tell it from bad luck, twelve can."""
    sums = summed(6, shared=0.1, frozen=2)
    shock = sums.shock(Season(np.ones(12), np.zeros(12)))
    assert shock.now < 0.3
    own = filter_shocks(np.array([3.0] * 28 + [1.0, 0.0]), np.full(30, 3.0), np.ones(30))
    known = Known(shock=shock, first=FIRST).common(FIRST, 30)
    both = filter_shocks(
        np.array([3.0] * 28 + [1.0, 0.0]), np.full(30, 3.0), np.ones(30), common=known
    )
    assert both.now < 0.35 < own.now


def test_a_shared_shock_fades_where_nothing_more_is_seen() -> None:
    shock = summed(6, shared=0.1, frozen=2).shock(Season(np.ones(12), np.zeros(12)))
    later = Known(shock=shock, first=FIRST).common(FIRST, 42)
    assert later is not None
    assert len(later.past) == 42
    assert shock.now < 0.3 < later.now
    before = Known(shock=shock, first=FIRST).common(FIRST - 6, 36)
    assert before is not None
    assert before.past[:6].tolist() == [0.0] * 6


# ------------------------------------------------------------------------------ the total


def counted(mean: float, spread: float, draws: np.ndarray) -> Projected:
    """Give the law of what was drawn."""
    amounts, counts = np.unique(draws, return_counts=True)
    law = Law(amounts, counts / counts.sum())
    return Projected(0.0, law, mean, spread, 0, 0, mean / 2, mean / 2)


def together(shared: float, seed: int, count: int = 12) -> tuple[list[Share], np.ndarray]:
    """Let accounts win Poisson numbers of deals under a shared factor; their laws, and totals."""
    draw = np.random.default_rng(seed)
    factor = np.exp(draw.normal(-(shared**2) / 2, shared, 4000))
    won = draw.poisson(factor[None, :] * np.linspace(1.0, 6.0, count)[:, None])
    amounts = np.linspace(80.0, 120.0, count)[:, None] * won
    laws = [counted(float(one.mean()), float(one.std()), one) for one in amounts]
    return [Share.of(law) for law in laws], amounts.sum(axis=0)


@pytest.mark.parametrize("shared", [0.0, 0.2, 0.4])
def test_the_range_of_the_total_holds_what_comes(shared: float) -> None:
    shares, came = together(shared, seed=8)
    law = total_of_shares(shares, float(np.expm1(shared**2)))
    assert law.mean == pytest.approx(came.mean())
    assert law.std == pytest.approx(came.std(), rel=0.06)
    low, high = law.quantile([0.1, 0.9])
    assert np.mean((came >= low) & (came <= high)) == pytest.approx(0.8, abs=0.025)


def test_a_shared_shock_makes_the_total_vary_more_than_independence() -> None:
    shares, came = together(0.4, seed=8)
    alone = total_of_shares(shares, 0.0)
    assert alone.std**2 == pytest.approx(sum(share.std**2 for share in shares), rel=0.02)
    assert alone.std < 0.6 * came.std()
    low, high = alone.quantile([0.1, 0.9])
    assert np.mean((came >= low) & (came <= high)) < 0.65


def test_one_account_is_its_own_total() -> None:
    shares, _ = together(0.2, seed=8, count=1)
    law = total_of_shares(shares, 0.2)
    assert law.std == pytest.approx(shares[0].std, rel=0.02)
    assert law.mean == shares[0].open_value + shares[0].new_value
