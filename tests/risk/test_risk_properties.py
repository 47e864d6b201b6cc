"""What holds for the distribution of any deals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule_analytics.risk import distribution

cents = st.integers(-10_000_000, 100_000_000).map(lambda c: c / 100)
chances = st.floats(0, 1) | st.sampled_from([0.0, 0.1, 0.5, 0.8, 1.0])
deal_lists = st.lists(st.tuples(cents, chances), max_size=60)
pipelines = deal_lists | deal_lists.map(lambda deals: deals * 5)
correlations = st.sampled_from([0.0, 0.0, 0.0, 0.2, 1.0])

Deals = list[tuple[float, float]]


def columns(deals: Deals) -> tuple[list[float], list[float]]:
    return [tcv for tcv, _ in deals], [p for _, p in deals]


def scale(deals: Deals) -> float:
    return sum(abs(tcv) for tcv, _ in deals) or 1.0


@settings(max_examples=60, deadline=None)
@given(pipelines, cents, correlations)
def test_the_masses_are_a_law_with_the_mean_of_the_deals(
    deals: Deals, won: float, correlation: float
) -> None:
    total = distribution(*columns(deals), won=won, correlation=correlation)
    assert (total.mass >= 0).all()
    assert total.mass.sum() == pytest.approx(1, abs=1e-12)
    assert (np.diff(total.values) > 0).all()
    weighted = won + sum(tcv * p for tcv, p in deals)
    assert total.mean == pytest.approx(weighted, abs=1e-9 * (scale(deals) + abs(won)))
    tolerance = (1e-9 if correlation in (0, 1) else 1e-6) * (scale(deals) + abs(won))
    assert total.values @ total.mass == pytest.approx(weighted, abs=tolerance)


@settings(max_examples=60, deadline=None)
@given(pipelines, st.randoms(use_true_random=False))
def test_the_order_of_the_deals_does_not_matter(deals: Deals, random: Any) -> None:
    shuffled = random.sample(deals, len(deals))
    q = np.linspace(0, 1, 11)
    ordered = distribution(*columns(deals)).quantile(q)
    assert distribution(*columns(shuffled)).quantile(q) == pytest.approx(
        ordered, abs=1e-9 * scale(deals)
    )


@settings(max_examples=60, deadline=None)
@given(pipelines, st.floats(0.001, 0.999), correlations)
def test_quantile_and_chance_are_inverse(deals: Deals, q: float, correlation: float) -> None:
    total = distribution(*columns(deals), correlation=correlation)
    # The total that is not exceeded with probability q is reached with at least the rest.
    assert total.chance_of(total.quantile(q)) >= 1 - q - 1e-9
    assert total.chance_of(total.values[0] - 1 - total.law.step) == pytest.approx(1)
    assert total.chance_of(total.values[-1] + 1 + total.law.step) == 0


@settings(max_examples=60, deadline=None)
@given(pipelines, correlations)
def test_quantiles_rise_within_what_the_deals_can_reach(deals: Deals, correlation: float) -> None:
    total = distribution(*columns(deals), correlation=correlation)
    quantiles = total.quantile(np.linspace(0, 1, 41))
    assert (np.diff(quantiles) >= 0).all()
    worst = sum(min(tcv, 0) for tcv, p in deals if p > 0)
    best = sum(max(tcv, 0) for tcv, p in deals if p > 0)
    # On a lattice each group of eight deals may move an end by a cell, a 1000th of its block.
    slack = (1e-9 if len(deals) <= 12 else 1e-2) * scale(deals)
    assert worst - slack <= quantiles[0]
    assert quantiles[-1] <= best + slack


@settings(max_examples=60, deadline=None)
@given(pipelines, pipelines)
def test_two_partitions_add_up_to_the_whole(first: Deals, second: Deals) -> None:
    together = distribution(*columns(first)) + distribution(*columns(second))
    whole = distribution(*columns(first + second))
    assert together.mean == pytest.approx(whole.mean, abs=1e-9 * scale(first + second))
    assert together.std == pytest.approx(whole.std, rel=1e-9)
    # The mean excess over a total is what the lattice keeps: it bounds how far the laws differ.
    for level in whole.quantile([0.1, 0.5, 0.9]):
        excess = [np.maximum(t.values - level, 0) @ t.mass for t in (together, whole)]
        assert excess[0] == pytest.approx(excess[1], abs=1e-3 * scale(first + second))
