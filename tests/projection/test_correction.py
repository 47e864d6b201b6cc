"""What past projections teach today's: nothing while they came true, much when they were wrong."""

from __future__ import annotations

import numpy as np
import pytest

from capsule_analytics.projection._new_business import Values
from capsule_analytics.projection._totals import Projected, total_of
from capsule_analytics.projection._track import Past, corrected, correction_of
from capsule_analytics.risk import Law

NOTHING = Values(np.zeros(1), np.ones(1))
EVENLY = (np.arange(12) + 0.5) / 12


def a_hundred_coins() -> Projected:
    """One of a hundred deals of 1 each is won with one half: 50 are expected, give or take 5."""
    return total_of(
        sure=0.0,
        values=np.ones(100),
        chance=np.full(100, 0.5),
        new_mean=0.0,
        new_spread=0.0,
        new_values=NOTHING,
        nodes=np.ones(1),
        weights=np.ones(1),
    )


def pasts(came: np.ndarray, simple: Law) -> list[Past]:
    order = np.random.default_rng(3).permutation(len(came))
    law = a_hundred_coins()
    return [Past(24_000 + n, law, simple, float(came[i])) for n, i in enumerate(order)]


def wide(middle: float) -> Law:
    return Law(middle * np.linspace(0.5, 1.5, 11), np.full(11, 1 / 11))


def test_projections_that_came_true_are_left_alone() -> None:
    law = a_hundred_coins()
    found = correction_of(pasts(np.asarray(law.quantile(EVENLY)), wide(50)))
    assert found.scale == pytest.approx(1.0, abs=0.06)
    assert found.shift == pytest.approx(0.0, abs=0.02)
    assert found.naive < 0.01
    after = corrected(law, found, wide(50))
    assert after.quantile([0.1, 0.9]) == pytest.approx(law.quantile([0.1, 0.9]), abs=1.0)


def test_ranges_that_were_too_narrow_are_widened() -> None:
    law = a_hundred_coins()
    came = 50 + 2 * (np.asarray(law.quantile(EVENLY)) - 50)
    found = correction_of(pasts(came, wide(50)))
    # Twelve fading months weigh eight, the prior twelve: the root of (8 x 4 + 12) / 20 is 1.48,
    # were there not a limit to how far off a month counts.
    assert 1.15 < found.scale < 1.48
    low, high = corrected(law, found, None).quantile([0.1, 0.9])
    before = law.quantile([0.1, 0.9])
    assert high - low > 1.15 * (before[1] - before[0])


def test_a_rule_by_hand_that_did_better_is_mixed_in() -> None:
    """Amounts in the list that are mere stand-ins, for example, are wrong month after month."""
    law = a_hundred_coins()
    found = correction_of(pasts(np.linspace(120, 180, 12), wide(150)))
    assert found.naive > 0.3
    after = corrected(law, found, wide(150))
    assert after.mean > 75
    assert after.crps(150.0) < 0.8 * law.crps(150.0)
