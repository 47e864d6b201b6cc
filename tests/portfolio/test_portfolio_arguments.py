"""Days and targets that a portfolio is asked for, and what it refuses."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import capsule_analytics as ca
from capsule_analytics.errors import ArgumentError, DataError, MissingExtraError
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


@pytest.mark.parametrize(
    ("address", "package", "extra"),
    [
        ("s3://bucket/export", "s3fs", "s3"),
        ("simplecache::s3a://bucket/export", "s3fs", "s3"),
        ("gs://bucket/export", "gcsfs", "gcs"),
        ("az://container/export", "adlfs", "azure"),
        ("abfss://container@account.example/export", "adlfs", "azure"),
    ],
)
def test_a_cloud_whose_file_system_is_missing_names_its_extra(
    address: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as told:
        Portfolio(address)
    assert str(told.value) == (
        f"A portfolio at {address}, read with {package}, needs an optional dependency: "
        f'pip install "capsule-analytics[{extra}]"'
    )


def test_another_file_system_that_is_missing_is_named_by_fsspec(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "paramiko", None)
    with pytest.raises(MissingExtraError, match=r"sftp://host/export: .*paramiko"):
        Portfolio("sftp://host/export")


def test_an_address_that_no_file_system_knows_is_refused() -> None:
    with pytest.raises(DataError, match="nosuch://bucket/export"):
        Portfolio("nosuch://bucket/export")
