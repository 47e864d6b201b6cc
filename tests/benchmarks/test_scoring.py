"""The scoring of forecasts, worked out by hand."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from deals import deals
from projection import (
    LEVELS,
    Forecast,
    Task,
    by_ratios,
    conversion,
    markdown,
    monthly,
    naive,
    periods,
    pit_uniform,
    projected,
    score_account,
    scores,
    summary,
    weighted,
)
from scipy import stats
from worlds import World, draw

if TYPE_CHECKING:
    from numpy.typing import NDArray


def test_periods_are_the_three_coming_months_and_all_of_them() -> None:
    assert periods(date(2026, 10, 31)) == [
        (date(2026, 11, 1), date(2026, 12, 1)),
        (date(2026, 12, 1), date(2027, 1, 1)),
        (date(2027, 1, 1), date(2027, 2, 1)),
        (date(2026, 11, 1), date(2027, 2, 1)),
    ]


def test_a_point_forecast_has_its_absolute_error_as_crps() -> None:
    found = scores(3.0, Forecast(5.0, np.full(LEVELS.size, 5.0)), 1.0, "x")
    # Twice the mean of (1 - level) x 2, and the levels have mean one half.
    assert found["crps"] == pytest.approx(2.0)
    assert found["error"] == 2.0
    assert found["pinball"] == pytest.approx(2.0 * (0.9 + 0.5 + 0.1) / 3)
    assert found["held"] == 0.0
    assert found["pit"] < 1 / 40


def test_crps_of_a_normal_forecast_is_near_its_closed_form() -> None:
    z = stats.norm.ppf(LEVELS)
    for came in (-1.0, 0.0, 0.7):
        exact = came * (2 * stats.norm.cdf(came) - 1) + 2 * stats.norm.pdf(came) - np.pi**-0.5
        assert scores(came, Forecast(0.0, z), 1.0, "x")["crps"] == pytest.approx(exact, abs=0.02)


def test_amounts_are_scored_in_average_months() -> None:
    z = 100.0 + stats.norm.ppf(LEVELS)
    one, ten = (scores(came / 10, Forecast(100.0, z), 10.0, "x")["crps"] for came in (101.0, 101.0))
    assert one == ten == pytest.approx(scores(101.0, Forecast(100.0, z), 1.0, "x")["crps"] / 10)


def test_pit_of_right_forecasts_is_uniform_and_of_narrow_ones_is_not() -> None:
    rng = np.random.default_rng(1)
    account = np.repeat([f"a{n}" for n in range(40)], 15)

    def pit(spread: float, shared: float) -> NDArray[np.float64]:
        luck = np.repeat(rng.standard_normal(40), 15)
        came = shared * luck + np.sqrt(1 - shared**2) * rng.standard_normal(600)
        quantiles = spread * stats.norm.ppf(LEVELS)
        return np.array(
            [scores(c, Forecast(0, quantiles), 1, str(n))["pit"] for n, c in enumerate(came)]
        )

    assert pit_uniform(pit(1.0, 0.0), account) > 0.05
    assert pit_uniform(pit(0.6, 0.0), account) < 0.001
    # Months of an account that go well together are no evidence against the forecast; a test
    # that takes each month as one more witness is misled.
    together = pit(1.0, 0.7)
    assert pit_uniform(together, account) > 0.01
    assert np.isnan(pit_uniform(together[:60], account[:60]))


def test_atoms_are_spread_at_random() -> None:
    quantiles = np.where(LEVELS < 0.5, 0.0, LEVELS)
    pit = [scores(0.0, Forecast(0, quantiles), 1, str(n))["pit"] for n in range(400)]
    assert stats.kstest(np.array(pit) / 0.5, "uniform").pvalue > 0.01


def test_monthly_sums_start_with_the_first_full_month() -> None:
    pipeline = deals(
        [
            {"created_at": "2026-01-20T10:00:00Z", "closed_at": "2026-01-25", "value": 7, **WON},
            {"created_at": "2026-02-20T10:00:00Z", "closed_at": "2026-02-25", "value": 5, **WON},
            {"created_at": "2026-02-20T10:00:00Z", "closed_at": "2026-04-02", "value": 3, **WON},
            {"created_at": "2026-02-20T10:00:00Z", "closed_at": "2026-04-03", "value": 9, **LOST},
        ]
    )
    assert monthly(pipeline, "GBP", 2026 * 12 + 4).tolist() == [5.0, 0.0, 3.0]
    assert monthly(pipeline, "USD", 2026 * 12 + 4).tolist() == [0.0, 0.0, 0.0]


WON = {"milestone": "Won", "milestone_id": 4}
LOST = {"milestone": "Lost", "milestone_id": 5}


def test_naives_use_the_past_alone() -> None:
    series = np.array([3.0, 3.0, 3.0, 6.0, 3.0, 3.0, 4.0, 2.0, 3.0, 6.0])
    # Means of three before months 4 to 10, and what came then.
    said = np.array([3.0, 4.0, 4.0, 4.0, 10 / 3, 3.0, 3.0])
    came = series[3:]
    found = naive(series, "mean_of_three", 0)
    assert found.mean == pytest.approx(11 / 3)
    assert found.quantiles == pytest.approx(11 / 3 * np.quantile(came / said, LEVELS))
    assert naive(series, "last_month", 1).mean == 6.0
    assert naive(series, "mean_of_three", 3).mean == pytest.approx(11.0)


def test_a_year_ago_is_the_same_month_then() -> None:
    series = np.arange(1.0, 25.0)
    assert naive(series, "year_ago", 0).mean == 13.0
    assert naive(series, "year_ago", 2).mean == 15.0
    assert naive(series, "year_ago", 3).mean == 13.0 + 14.0 + 15.0


def test_little_history_gives_a_wide_range_and_no_error() -> None:
    for size in (1, 2, 3, 5):
        for rule in ("mean_of_three", "last_month", "year_ago"):
            found = naive(np.full(size, 8.0), rule, 0)
            assert found.mean == 8.0
            assert found.quantiles[-4] > 2 * found.quantiles[19]
    assert (by_ratios(0.0, np.empty(0), np.empty(0)).quantiles == 0).all()


def test_conversion_multiplies_the_open_list() -> None:
    series = np.array([5.0, 4.0, 4.0, 6.0])
    opened = np.array([40.0, 40.0, 60.0, 50.0])
    # 4 of 40, 4 of 40, 6 of 60: a tenth.
    assert conversion(series, opened, 0).mean == pytest.approx(5.0)


def test_the_weighted_pipeline_takes_what_is_typed() -> None:
    pipeline = deals(
        [
            {"value": 100, "probability": 50, "expected_close": "2026-11-10"},
            {"value": 10, "probability": 20, "expected_close": "2026-08-10"},
            {"value": 1, "probability": 100, "expected_close": "2026-12-10"},
            {"value": 1000, "probability": 50},
        ],
        as_of=date(2026, 10, 31),
    )
    day = date(2026, 10, 31)
    means = [weighted(pipeline, "GBP", number, day).mean for number in range(4)]
    assert means == [52.0, 1.0, 0.0, 53.0]
    assert set(weighted(pipeline, "GBP", 0, day).quantiles) <= {0.0, 10.0, 100.0, 110.0}


class Answers:
    """A model that has its answers ready, in one of the shapes in which one may be asked."""

    def by_month(self, months: int) -> pd.DataFrame:
        month = pd.period_range("2026-11", periods=months, freq="M")
        return pd.DataFrame(
            {
                "month": month,
                "currency": "GBP",
                "expected_value": [1.0, 2.0, 3.0][:months],
                "p10": 1.0,
                "p50": 8.0,
                "p90": 27.0,
            }
        )


class Quantiles(Answers):
    def quantiles(self, levels: NDArray[np.float64], *, start: date, end: date) -> pd.DataFrame:
        days = (end - start).days
        return pd.DataFrame(
            np.outer([days, 2 * days], levels), index=["GBP", "USD"], columns=levels
        )


def test_a_model_is_asked_for_quantiles_or_for_what_it_has() -> None:
    day = date(2026, 10, 31)
    found = projected(Answers(), day, ["GBP", "USD"])
    assert ("GBP", 3) not in found  # a quarter's range cannot be made from those of its months
    assert found["GBP", 1].mean == 2.0
    assert found["GBP", 1].quantiles[[3, 19, 35]] == pytest.approx([1.0, 8.0, 27.0])
    assert found["USD", 0] == Forecast(0.0, pytest.approx(np.zeros(39)))
    found = projected(Quantiles(), day, ["GBP", "USD"])
    assert found["GBP", 3].mean == 6.0
    assert found["USD", 3].quantiles == pytest.approx(2 * 92 * LEVELS)


def test_an_account_is_scored_and_pooled() -> None:
    account = draw("steady", "choose", 0)
    one = World(account.name, "steady", "choose", account.months, account)
    rows = pd.DataFrame(score_account(Task(one, 2, 50, ("oracle",))))
    assert len(rows) == 2 * 4 * 6
    first = rows[rows["horizon"] == "month 1"].groupby("origin")["came"].first()
    assert first.mean() == pytest.approx(1.0)  # in average months
    table = summary(rows, [])
    naive_row = table[(table["method"] == "mean_of_three") & (table["horizon"] == "quarter")]
    assert naive_row["skill"].tolist() == [0.0]
    oracle = table[table["method"] == "oracle"]
    assert oracle["skill"].tolist() == pytest.approx([1.0] * 4)
    assert markdown(table).count("\n") == 1 + 4 * 6
