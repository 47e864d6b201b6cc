"""The distribution of a total, against figures worked by hand, exact laws and random draws."""

from __future__ import annotations

import doctest
import sys
from itertools import pairwise
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from capsule_analytics.errors import ArgumentError, MissingExtraError
from capsule_analytics.risk import Distribution, distribution, quantiles_by

Floats = npt.NDArray[np.float64]


def outcomes(total: Distribution) -> Floats:
    return total.values  # noqa: PD011 - not a pandas object


def grid_mean(total: Distribution) -> float:
    return float(outcomes(total) @ total.mass)


def grid_std(total: Distribution) -> float:
    return float(np.sqrt((outcomes(total) - grid_mean(total)) ** 2 @ total.mass))


# --- worked by hand -------------------------------------------------------------------------------


def test_two_deals_have_four_outcomes() -> None:
    # 10 with 1/2 and 4 with 1/4 above 100 won: neither 3/8, the 4 alone 1/8, the 10 alone 3/8, both
    total = distribution([10, 4], [0.5, 0.25], won=100)
    assert outcomes(total).tolist() == [100, 104, 110, 114]
    assert total.mass.tolist() == [0.375, 0.125, 0.375, 0.125]
    assert total.mean == 106  # 100 + 5 + 1
    assert total.std == pytest.approx(np.sqrt(10**2 / 4 + 4**2 * 3 / 16))
    assert total.quantile([0, 0.375, 0.376, 0.5, 0.51, 1]).tolist() == [
        100, 100, 104, 104, 110, 114,
    ]  # fmt: skip
    assert [total.chance_of(t) for t in (100, 104, 104.01, 114, 115)] == [1, 0.625, 0.5, 0.125, 0]
    assert total.interval(0.8) == (100, 114)


def test_a_credit_note_reaches_below_zero() -> None:
    total = distribution([-500, 2000], [0.5, 0.5])
    assert outcomes(total).tolist() == [-500, 0, 1500, 2000]
    assert total.quantile(0.1) == -500
    assert total.mean == 750
    assert total.chance_of(0) == 0.75


def test_no_deals_leave_what_is_won() -> None:
    total = distribution([], [], won=1234.5)
    assert total.quantile([0, 0.5, 1]).tolist() == [1234.5] * 3
    assert (total.mean, total.std, total.deals, total.left_out) == (1234.5, 0, 0, 0)
    assert (total.chance_of(1234.5), total.chance_of(1234.51)) == (1, 0)


def test_certain_impossible_and_empty_deals_add_no_outcome() -> None:
    total = distribution([100, 200, 0, 50], [1, 0, 0.5, 0.4])
    assert outcomes(total).tolist() == [100, 150]
    assert total.mass.tolist() == pytest.approx([0.6, 0.4])
    assert total.deals == 4


def test_what_is_missing_is_left_out_and_counted() -> None:
    tcv = pd.Series([100, None, 300], dtype="Float64")
    total = distribution(tcv, [0.5, 0.5, np.nan])
    assert outcomes(total).tolist() == [0, 100]
    assert (total.deals, total.left_out) == (1, 2)
    assert "1 open deals, 2 left out" in repr(total)


def test_sums_that_differ_by_float_rounding_are_one_outcome() -> None:
    total = distribution([0.1, 0.2, 0.3], [0.5] * 3)
    assert outcomes(total) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert total.chance_of(0.3) == pytest.approx(5 / 8)  # 0.1 + 0.2 reaches 0.3 as well


def test_twelve_unlike_deals_keep_their_cents() -> None:
    tcv = 1000 + 0.01 * 2.0 ** np.arange(12)
    total = distribution(tcv, np.full(12, 0.5))
    assert len(outcomes(total)) == 2**12
    assert total.quantile(1) == pytest.approx(12_000 + 0.01 * (2**12 - 1), abs=1e-9)


# --- exact laws -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [9, 40, 3000])
def test_equal_deals_are_a_binomial(count: int) -> None:
    total = distribution(np.full(count, 123.45), np.full(count, 0.3), won=1)
    won = np.rint((outcomes(total) - 1) / 123.45).astype(int)
    exact = [comb(count, k) * 3**k * 7 ** (count - k) / 10**count for k in won.tolist()]
    assert total.mass == pytest.approx(exact, rel=1e-9, abs=1e-17)
    assert outcomes(total) == pytest.approx(1 + 123.45 * won, rel=1e-12)


def test_unequal_deals_of_whole_units_agree_with_the_sum_over_all_outcomes() -> None:
    # Values are whole, so the convolution over units is the exact law.
    rng = np.random.default_rng(5)
    tcv, probability = rng.integers(-30, 90, 150), rng.uniform(0, 1, 150)
    low = int(tcv[tcv < 0].sum())
    exact = np.ones(1)
    for value, p in zip(np.abs(tcv), np.where(tcv < 0, 1 - probability, probability), strict=True):
        step = np.zeros(value + 1)
        step[0] += 1 - p
        step[-1] += p
        exact = np.convolve(exact, step)
    reached = np.cumsum(exact)
    q = np.array([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
    total = distribution(tcv, probability)
    # Within half a unit: between whole totals the lattice has no way to know of the units.
    assert total.quantile(q) == pytest.approx(low + np.searchsorted(reached, q), abs=0.75)
    assert grid_mean(total) == pytest.approx(total.mean, rel=1e-12)


def test_giants_do_not_blur_the_small_deals() -> None:
    small = distribution(np.arange(100, 200), np.full(100, 0.5))
    giant = distribution([*range(100, 200), 1e9], [0.5] * 100 + [0.01])
    # 99 % of the totals lack the giant: P10 there is the small deals' P(10/0.99).
    assert giant.quantile(0.099) == pytest.approx(small.quantile(0.1), rel=1e-3)
    assert giant.quantile(0.995) > 1e9


# --- random draws ---------------------------------------------------------------------------------


def draws(tcv: Floats, probability: Floats, correlation: float, count: int) -> Floats:
    """Draw totals: a deal is won where its latent normal falls below its probability's quantile."""
    rng = np.random.default_rng(20_260_101)
    thresholds = ndtri(probability).astype(np.float32)
    parts = []
    for _ in range(20):
        own = rng.standard_normal((count // 20, len(tcv)), dtype=np.float32)
        market = rng.standard_normal((count // 20, 1), dtype=np.float32)
        latent = (
            np.sqrt(np.float32(1 - correlation)) * own - np.sqrt(np.float32(correlation)) * market
        )
        parts.append((latent <= thresholds) @ tcv)
    return np.concatenate(parts)


def assert_agree(total: Distribution, drawn: Floats, cell: float) -> None:
    """Hold P1 to P99 within five standard errors of the draws, give or take a lattice cell."""
    q = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
    error = 5 * np.sqrt(q * (1 - q) / len(drawn))
    low, high = np.quantile(drawn, q - error), np.quantile(drawn, q + error)
    found = total.quantile(q)
    assert (found >= low - cell).all(), (found - low) / total.std
    assert (found <= high + cell).all(), (found - high) / total.std


rng = np.random.default_rng(7)
SHAPES = {
    "few big": (np.array([20e3, 50e3, 100e3, 300e3, 700e3]), np.array([0.6, 0.8, 0.3, 0.5, 0.1])),
    "many small": (rng.lognormal(8, 0.5, 120).round(2), rng.uniform(0.05, 0.95, 120)),
    "mixed": (
        np.concatenate([rng.lognormal(6, 0.5, 100), [90e3, 250e3, 400e3]]).round(2),
        np.concatenate([rng.uniform(0.05, 0.95, 100), [0.5, 0.2, 0.1]]),
    ),
    "credits": (rng.normal(1000, 3000, 40).round(2), rng.uniform(0, 1, 40)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_million_independent_draws_agree(shape: str) -> None:
    tcv, probability = SHAPES[shape]
    total = distribution(tcv, probability)
    drawn = draws(tcv, probability, 0, 1_000_000 if len(tcv) < 50 else 300_000)
    assert_agree(total, drawn, total.std / 300)


@pytest.mark.parametrize(
    ("shape", "correlation"),
    [("few big", 0.3), ("few big", 0.95), ("many small", 0.1), ("many small", 0.5), ("mixed", 0.7)],
)
def test_draws_of_the_same_copula_agree(shape: str, correlation: float) -> None:
    tcv, probability = SHAPES[shape]
    total = distribution(tcv, probability, correlation=correlation)
    assert_agree(total, draws(tcv, probability, correlation, 200_000), total.std / 300)
    assert grid_mean(total) == pytest.approx(total.mean, rel=1e-6)
    assert grid_std(total) == pytest.approx(total.std, rel=1e-3)


def test_many_small_deals_in_a_common_market_leave_no_bumps() -> None:
    # The limit of infinitely many equal deals: P(share <= x) in closed form (Vasicek 2002).
    count = 1500
    tcv = np.linspace(0.9, 1.1, count)
    total = distribution(tcv, np.full(count, 0.4), correlation=0.4)
    x = np.linspace(0.05, 0.9, 50)
    limit = ndtr((np.sqrt(0.6) * ndtri(x) - ndtri(0.4)) / np.sqrt(0.4))
    found = [1 - total.chance_of(share * count) for share in x]
    assert found == pytest.approx(limit, abs=2e-3)


# --- correlation ----------------------------------------------------------------------------------


def test_correlation_widens_the_range_and_keeps_the_mean() -> None:
    tcv, probability = SHAPES["many small"]
    totals = [distribution(tcv, probability, correlation=r) for r in (0, 0.1, 0.3, 0.6, 0.9, 1)]
    widths = [high - low for low, high in (t.interval(0.8) for t in totals)]
    assert all(narrow < wide for narrow, wide in pairwise(widths))
    assert all(a.std < b.std for a, b in pairwise(totals))
    assert {t.mean for t in totals} == {totals[0].mean}


def test_full_correlation_wins_the_likelier_deals_first() -> None:
    # Won together below 0.2 of a common draw; the 4 alone from 0.2 to 0.5; nothing above.
    total = distribution([10, 4], [0.2, 0.5], correlation=1)
    assert outcomes(total).tolist() == [0, 4, 14]
    assert total.mass.tolist() == pytest.approx([0.5, 0.3, 0.2])
    assert total.std == pytest.approx(grid_std(total))


def test_a_nearly_full_correlation_comes_close_to_the_full_one() -> None:
    near = distribution([10, 4], [0.2, 0.5], correlation=0.99999)
    full = distribution([10, 4], [0.2, 0.5], correlation=1)
    chances = [[total.chance_of(target) for target in (4, 10, 14)] for total in (near, full)]
    assert chances[0] == pytest.approx(chances[1], abs=5e-3)


def test_full_correlation_of_many_deals_fits_on_the_lattice() -> None:
    probability = np.linspace(0, 1, 9000, endpoint=False)
    total = distribution(np.full(9000, 3.3), probability, correlation=1)
    assert grid_mean(total) == pytest.approx(total.mean)
    assert total.quantile(0.25) == pytest.approx(0.25 * 9000 * 3.3, rel=1e-3)


def test_correlation_without_scipy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(MissingExtraError, match=r"capsule-analytics\[risk\]"):
        distribution([1, 2], [0.5, 0.5], correlation=0.2)
    assert distribution([1], [0.5]).mean == 0.5  # independent deals do without


# --- size and partitions --------------------------------------------------------------------------


def test_two_hundred_thousand_deals() -> None:
    rng = np.random.default_rng(11)
    tcv, probability = rng.lognormal(9, 1, 200_000), rng.uniform(0, 1, 200_000)
    total = distribution(tcv, probability)
    assert grid_mean(total) == pytest.approx(total.mean, rel=1e-12)
    assert grid_std(total) == pytest.approx(total.std, rel=5e-4)
    # So many deals are normal: P10 and P90 lie 1.28155 standard deviations from the mean.
    assert (total.quantile([0.1, 0.5, 0.9]) - total.mean) / total.std == pytest.approx(
        [-1.28155, 0, 1.28155], abs=5e-3
    )


def test_partitions_add_up_in_any_grouping() -> None:
    tcv, probability = SHAPES["many small"]
    whole = distribution(tcv, probability, won=500)
    a = distribution(tcv[:10], probability[:10], won=500)
    b = distribution(tcv[10:90], probability[10:90])
    c = distribution(tcv[90:], probability[90:])
    q = np.linspace(0.01, 0.99, 25)
    for total in ((a + b) + c, a + (b + c), c + a + b):
        assert total.quantile(q) == pytest.approx(whole.quantile(q), abs=whole.std / 200)
        assert (total.mean, total.std) == pytest.approx((whole.mean, whole.std))
        assert grid_mean(total) == pytest.approx(whole.mean)
        assert total.deals == whole.deals


def test_only_distributions_add() -> None:
    with pytest.raises(TypeError):
        distribution([1], [0.5]) + 1  # type: ignore[operator]


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tcv", "probability", "options", "message"),
    [
        ([1, 2], [0.5], {}, "2 TCVs, but 1 probabilities"),
        ([1], [50], {}, "probability 50.0 at position 0"),
        ([1, 1], [0.5, -0.1], {}, "probability -0.1 at position 1"),
        ([np.inf], [0.5], {}, "finite"),
        ([1], [0.5], {"won": np.nan}, "finite"),
        ([1], [0.5], {"won": "much"}, "finite number, not 'much'"),
        ([1], [0.5], {"correlation": "much"}, "not 'much'"),
        ([1], [0.5], {"correlation": 1.5}, "correlation must be in 0 to 1, not 1.5"),
        ([1], [0.5], {"cells": 10}, "at least 100"),
        (["much"], [0.5], {}, "must be numbers"),
    ],
)
def test_bad_input_is_refused(
    tcv: list[float], probability: list[float], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        distribution(tcv, probability, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["much", np.nan, np.inf, None])
def test_a_target_that_is_no_number_is_refused(target: Any) -> None:
    with pytest.raises(ArgumentError, match="a target must be a finite number"):
        distribution([1], [0.5]).chance_of(target)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 1e6), st.floats(0.01, 0.99)), min_size=1, max_size=60),
    st.floats(0, 1e7),
    st.sampled_from([0.0, 0.3]),
)
def test_what_is_won_already_is_reached_for_sure(
    open_deals: list[tuple[float, float]], won: float, correlation: float
) -> None:
    tcv, probability = zip(*open_deals, strict=True)
    total = distribution(tcv, probability, won=won, correlation=correlation)
    for target in (won, won / 2, 0.0, -1.0):
        assert total.chance_of(target) == 1.0
    assert 0 <= total.chance_of(won + sum(tcv)) <= 1
    assert total.chance_of(won + 2 * sum(tcv)) == 0


def test_a_quantile_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(ArgumentError, match="from 0 to 1"):
        distribution([1], [0.5]).quantile(90)


# --- by group -------------------------------------------------------------------------------------


@pytest.fixture
def deals() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "month": pd.PeriodIndex(
                ["2026-02", "2026-01", "2026-01", None, "2026-01", "2026-02"], freq="M"
            ),
            "currency": pd.Categorical(["EUR", "EUR", "EUR", "USD", "EUR", None]),
            "tcv": [800.0, 1000.0, 500.0, 60.0, 999.0, np.nan],
            "probability": [0.3, 0.5, 1.0, 0.2, 0.0, 1.0],
            "status": pd.Categorical(["open", "open", "won", "open", "lost", "won"]),
        }
    )


def test_each_group_has_a_row_and_a_missing_key_is_kept(deals: pd.DataFrame) -> None:
    before = deals.copy(deep=True)
    table = quantiles_by(deals, ["month", "currency"], target=800)
    assert list(table.columns) == ["month", "currency", "p10", "p50", "p90", "chance"]
    assert table["month"].astype("string").fillna("").tolist() == [
        "2026-01", "2026-02", "2026-02", "",
    ]  # fmt: skip
    assert table["currency"].astype("string").fillna("").tolist() == ["EUR", "EUR", "", "USD"]
    assert table["p10"].tolist() == [500, 0, 0, 0]
    assert table["p50"].tolist() == [500, 0, 0, 0]
    assert table["p90"].tolist() == [1500, 800, 0, 60]
    assert table["chance"].tolist() == pytest.approx([0.5, 0.3, 0, 0])
    pd.testing.assert_frame_equal(deals, before)


def test_quantiles_name_their_columns(deals: pd.DataFrame) -> None:
    table = quantiles_by(deals, ["currency"], quantiles=(0.05, 0.995), correlation=0.5)
    assert list(table.columns) == ["currency", "p5", "p99.5"]
    assert table.loc[0, "p99.5"] == 2300  # 500 won, both open deals in


@pytest.mark.parametrize("won", [0.0, 1234.56, -80.25, 3e15 / 7])
def test_what_is_won_alone_is_as_its_distribution_has_it(won: float) -> None:
    deals = pd.DataFrame({"month": [1], "tcv": [won], "probability": [1.0], "status": ["won"]})
    (row,) = quantiles_by(deals, ["month"], target=1000).to_dict("records")
    total = distribution([], [], won=won)
    assert [row["p10"], row["p50"], row["p90"]] == total.quantile([0.1, 0.5, 0.9]).tolist()
    assert row["chance"] == total.chance_of(1000)
    with pytest.raises(ArgumentError, match="correlation"):
        quantiles_by(deals, ["month"], correlation=2)


def test_no_deals_give_an_empty_table(deals: pd.DataFrame) -> None:
    table = quantiles_by(deals.iloc[:0], ["month"], target=1)
    assert table.empty
    assert list(table.columns) == ["month", "p10", "p50", "p90", "chance"]


def test_deals_without_the_columns_are_refused(deals: pd.DataFrame) -> None:
    with pytest.raises(ArgumentError, match=r"lack the columns \['owner', 'status'\]"):
        quantiles_by(deals.drop(columns="status"), ["owner"])
    with pytest.raises(ArgumentError, match="keys are empty"):
        quantiles_by(deals, [])
    with pytest.raises(ArgumentError, match=r"not \['pending'\]"):
        quantiles_by(deals.assign(status="pending"), ["month"])


def test_the_documentation_holds() -> None:
    page = Path(__file__).parents[2] / "docs" / "risk.md"
    failed, tried = doctest.testfile(
        str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert tried > 0
    assert failed == 0


def test_the_documented_effect_of_correlation_holds() -> None:
    tcv, probability = np.linspace(2_000, 20_000, 100), np.tile([0.2, 0.4, 0.6, 0.8], 25)
    table = {0.0: (484_589, 554_584, 624_452), 0.05: (427_982, 554_679, 680_931)}
    for correlation, documented in table.items():
        total = distribution(tcv, probability, correlation=correlation)
        assert total.quantile([0.1, 0.5, 0.9]) == pytest.approx(documented, rel=1e-4)
