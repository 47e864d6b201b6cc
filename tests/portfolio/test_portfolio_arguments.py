"""Days and targets that a portfolio is asked for, and what it refuses."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import capsule_analytics as ca
from capsule_analytics.errors import ArgumentError
from capsule_analytics.portfolio import Portfolio


@pytest.fixture(scope="module")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> Portfolio:
    """Two days of the sample account."""
    folder: Path = tmp_path_factory.mktemp("portfolio")
    with ca.history.open_store(folder / "history.duckdb") as store:
        for pipeline in ca.history.sample_history()[-2:]:
            store.record(pipeline)
        store.export_parquet(folder / "export")
    return Portfolio(folder / "export")


def test_days_may_be_text(portfolio: Portfolio) -> None:
    first, last = portfolio.days
    pd.testing.assert_frame_equal(
        portfolio.by_month(day=str(first), as_of="2026-10-01"),
        portfolio.by_month(day=first, as_of=date(2026, 10, 1)),
    )
    pd.testing.assert_frame_equal(
        portfolio.revenue_schedule(day=str(first)), portfolio.revenue_schedule(day=first)
    )
    pd.testing.assert_frame_equal(
        portfolio.changes(str(first), str(last), period=("2026-10-01", "2026-12-31")),
        portfolio.changes(first, last, period=(date(2026, 10, 1), date(2026, 12, 31))),
    )
    pd.testing.assert_frame_equal(portfolio.check(str(first)), portfolio.check(first))


@pytest.mark.parametrize("name", ["day", "as_of"])
@pytest.mark.parametrize("function", ["by_month", "revenue_schedule"])
def test_what_is_no_day_is_refused(portfolio: Portfolio, function: str, name: str) -> None:
    options: dict[str, Any] = {name: "yesterday"}
    with pytest.raises(ArgumentError, match="YYYY-MM-DD, not 'yesterday'"):
        getattr(portfolio, function)(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "abc"}, "finite number, not 'abc'"),
        ({"fiscal_year_start": "4"}, "1 to 12, not '4'"),
        ({"by": "colour"}, "cannot group by 'colour'"),
    ],
)
def test_a_wrong_option_is_told_as_of_one_account(
    portfolio: Portfolio, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        portfolio.by_month(**options)


def test_a_group_that_is_named_twice_counts_once(portfolio: Portfolio) -> None:
    pd.testing.assert_frame_equal(
        portfolio.by_month(by=["owner", "owner"]), portfolio.by_month(by="owner")
    )
