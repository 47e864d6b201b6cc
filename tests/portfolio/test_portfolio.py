"""A portfolio of exports: per account, in total, at home, and with flawed partitions."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deals import deals

from capsule_analytics import fx, history
from capsule_analytics.errors import ArgumentError, DataError
from capsule_analytics.portfolio import Portfolio
from capsule_analytics.portfolio import _files as _portfolio_files
from capsule_analytics.report import group_figures, write_figures

FIRST, SECOND = date(2026, 10, 14), date(2026, 10, 15)
RATES = fx.Rates(
    "GBP", {"EUR": pd.Series([0.8], index=pd.DatetimeIndex(["2026-10-14"]))}, source="a test"
)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Two days of acme, one day of bolt & co, and nil, which has no deals."""
    row: dict[str, Any] = {"probability": 50, "expected_close": "2026-11-20"}
    acme = [
        deals([row | {"value": 100}], as_of=FIRST),
        deals([row | {"value": 200}, row | {"value": 50, "currency": "EUR"}], as_of=SECOND),
    ]
    bolt = deals([{"value": 1000, "milestone": "Won", "closed_at": "2026-10-14"}], as_of=FIRST)
    nil = replace(bolt, opportunities=bolt.opportunities.iloc[:0], issues=bolt.issues.iloc[:0])
    with history.open_store(tmp_path / "history.duckdb") as store:
        for pipeline in acme:
            store.record(replace(pipeline, account="acme"))
        store.record(replace(bolt, account="bolt & co"))
        store.record(replace(nil, account="nil"))
        store.export_parquet(tmp_path / "export")
    return tmp_path / "export"


def part(export: Path, account: str, day: date = FIRST) -> Path:
    return export / f"account={account}" / f"day={day}" / "part.parquet"


def rows(table: pd.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    return list(table[list(names)].itertuples(index=False, name=None))


def test_each_account_counts_with_its_newest_day(export: Path) -> None:
    portfolio = Portfolio(export)
    assert portfolio.accounts == ["acme", "bolt & co", "nil"]
    assert portfolio.days == [FIRST, SECOND]
    table = portfolio.by_month()
    assert rows(table, "account", "currency", "weighted_value", "won_value") == [
        ("bolt & co", "GBP", 0.0, 1000.0),
        ("acme", "EUR", 25.0, 0.0),
        ("acme", "GBP", 100.0, 0.0),
    ]
    assert table.attrs["as_of"] == table.attrs["day"] == "2026-10-15"
    assert table.attrs["oldest_day"] == "2026-10-14"
    assert (table.attrs["accounts"], table.attrs["left_out"]) == (3, [])


def test_an_earlier_day(export: Path) -> None:
    table = Portfolio(export).by_month(day=FIRST, by=None)
    assert rows(table, "currency", "open_value", "won_value") == [
        ("GBP", 0.0, 1000.0),
        ("GBP", 100.0, 0.0),
    ]
    assert table.attrs["as_of"] == "2026-10-14"
    with pytest.raises(ArgumentError, match="the first is 2026-10-14"):
        Portfolio(export).by_month(day=date(2020, 1, 1))


def test_an_account_that_began_later_is_told(export: Path) -> None:
    part(export, "acme", FIRST).unlink()
    part(export, "acme", FIRST).parent.rmdir()
    table = Portfolio(export).by_month(day=FIRST)
    (left_out,) = table.attrs["left_out"]
    assert (left_out["account"], left_out["problem"]) == (
        "acme",
        "has no snapshot up to 2026-10-14",
    )


def test_in_a_home_currency(export: Path) -> None:
    table = Portfolio(export).by_month(by=None, home_currency="GBP", rates=RATES)
    # 200 * 50 % + 50 EUR * 0.8 * 50 % in November.
    assert rows(table, "currency", "weighted_value") == [("GBP", 0.0), ("GBP", 120.0)]
    revenue = Portfolio(export).revenue_schedule(by=None, home_currency="GBP", rates=RATES)
    assert rows(revenue, "currency", "expected_value") == [("GBP", 1000.0), ("GBP", 120.0)]


def test_what_changed_between_two_days(export: Path) -> None:
    """acme: one deal went from 100 to 200, one of 50 EUR is new; the others stand still."""
    portfolio = Portfolio(export)
    table = portfolio.changes(FIRST, SECOND)
    moved = table[table["value"] != 0]
    assert rows(moved, "account", "currency", "part", "value") == [
        ("acme", "EUR", "new", 50.0),
        ("acme", "EUR", "closing", 50.0),
        ("acme", "GBP", "opening", 100.0),
        ("acme", "GBP", "value_up", 100.0),
        ("acme", "GBP", "closing", 200.0),
    ]
    assert table.attrs["before"] == "2026-10-14"
    assert table.attrs["after"] == "2026-10-15"
    assert (table.attrs["accounts"], table.attrs["left_out"]) == (3, [])
    total = portfolio.changes(FIRST, by=None, home_currency="GBP", rates=RATES)
    assert rows(total[total["value"] != 0], "currency", "part", "value") == [
        ("GBP", "opening", 100.0),
        ("GBP", "new", 40.0),
        ("GBP", "value_up", 100.0),
        ("GBP", "closing", 240.0),
    ]
    november = portfolio.changes(FIRST, by=None, period=(date(2026, 12, 1), date(2026, 12, 31)))
    assert november.empty


def test_changes_are_those_of_each_account(tmp_path: Path) -> None:
    """The bridge of a portfolio is the bridge of its accounts, on any engine."""
    first, *_, last = history.sample_history()
    with history.open_store(tmp_path / "history.duckdb") as store:
        for name in ("north", "south"):
            for pipeline in (first, last):
                store.record(replace(pipeline, account=name))
        store.export_parquet(tmp_path / "export")
    wanted = history.changes(first, last)
    portfolio = Portfolio(tmp_path / "export")
    for engine in ("duckdb", "dask"):
        table = portfolio.changes(first.as_of, last.as_of, engine=engine)
        for name in ("north", "south"):
            one = table[table["account"] == name].drop(columns="account").reset_index(drop=True)
            one.attrs = dict(wanted.attrs)
            pd.testing.assert_frame_equal(one, wanted, check_exact=True)
        total = portfolio.changes(first.as_of, last.as_of, by=None, engine=engine)
        assert total["value"].tolist() == (2 * wanted["value"]).tolist()
        assert total["deals"].tolist() == (2 * wanted["deals"]).tolist()


@pytest.mark.parametrize("engine", ["duckdb", "dask"])
def test_changes_leave_out_what_cannot_be_compared(export: Path, engine: Any) -> None:
    """An account whose one day is broken is left out whole; one without a first day, too."""
    break_footer(part(export, "acme", SECOND))
    with pytest.raises(DataError, match="account 'acme' cannot be read"):
        Portfolio(export).changes(FIRST, engine=engine)
    table = Portfolio(export, on_error="skip").changes(FIRST, engine=engine)
    assert set(table["account"]) == set()
    assert [found["account"] for found in table.attrs["left_out"]] == ["acme"]
    assert table.attrs["accounts"] == 2
    take_away(part(export, "acme", FIRST))
    part(export, "acme", FIRST).parent.rmdir()
    (found,) = Portfolio(export).changes(FIRST, FIRST, engine=engine).attrs["left_out"]
    assert found["problem"] == "has no snapshot up to 2026-10-14"


def test_an_export_with_one_deal_twice(export: Path) -> None:
    file = part(export, "acme", SECOND)
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table, table]), file)
    with pytest.raises(DataError, match="two deals of the same id"):
        Portfolio(export).changes(FIRST)


@pytest.mark.parametrize("engine", ["duckdb", "dask"])
def test_ranges_of_a_portfolio(export: Path, engine: Any) -> None:
    """In November acme wins 200 or nothing, evenly, and 50 EUR or nothing."""
    (export / "account=nil" / f"day={FIRST}" / "part.parquet").unlink()
    table = Portfolio(export, on_error="skip").by_month(ranges=True, target=150, engine=engine)
    assert rows(table, "account", "currency", "p10", "p50", "p90", "chance") == [
        ("bolt & co", "GBP", 1000.0, 1000.0, 1000.0, 1.0),
        ("acme", "EUR", 0.0, 0.0, 50.0, 0.0),
        ("acme", "GBP", 0.0, 0.0, 200.0, 0.5),
    ]
    assert [found["account"] for found in table.attrs["left_out"]] == ["nil"]


@pytest.mark.parametrize("engine", ["duckdb", "dask"])
def test_any_address_and_engine_give_one_table(
    export: Path, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Portfolio(export).by_month(by=["account", "owner"])
    monkeypatch.setattr(_portfolio_files, "_BATCH_ACCOUNTS", 1)
    memory = fsspec.filesystem("memory")
    memory.put(str(export), "/export", recursive=True)
    try:
        for address in (str(export), f"file://{export}", "memory://export"):
            found = Portfolio(address).by_month(by=["account", "owner"], engine=engine)
            pd.testing.assert_frame_equal(found, wanted, check_exact=True)
            moved = Portfolio(address).changes(FIRST, engine=engine)
            pd.testing.assert_frame_equal(moved, Portfolio(export).changes(FIRST))
        memory.pipe("/export/account=nil/day=2026-10-14/part.parquet", b"PAR1 and no more")
        rest = Portfolio("memory://export", on_error="skip").by_month(engine=engine)
        assert [found["account"] for found in rest.attrs["left_out"]] == ["nil"]
        assert set(rest["account"]) == {"acme", "bolt & co"}
    finally:
        memory.rm("/export", recursive=True)


def break_footer(file: Path) -> str:
    file.write_bytes(file.read_bytes()[:-20])
    return "No magic bytes"


def break_pages(file: Path) -> str:
    data = bytearray(file.read_bytes())
    data[4:2000] = b"\xff" * 1996
    file.write_bytes(data)
    return ""


def take_away(file: Path) -> str:
    file.unlink()
    return "has no file"


def drop_status(file: Path) -> str:
    pq.write_table(pq.read_table(file).drop_columns(["status"]), file)
    return "without a status"


@pytest.mark.parametrize("damage", [break_footer, break_pages, take_away, drop_status])
@pytest.mark.parametrize("engine", ["duckdb", "dask"])
def test_a_partition_that_cannot_be_read(export: Path, damage: Any, engine: Any) -> None:
    """It is named; or its account alone is left out, and said so."""
    reason = damage(part(export, "bolt%20%26%20co"))
    with pytest.raises(DataError, match="account 'bolt & co' cannot be read") as caught:
        Portfolio(export).by_month(engine=engine)
    assert "account=bolt%20%26%20co/day=2026-10-14" in str(caught.value)
    assert reason in str(caught.value)
    table = Portfolio(export, on_error="skip").by_month(engine=engine)
    assert set(table["account"]) == {"acme"}
    assert table.attrs["accounts"] == 2
    (left_out,) = table.attrs["left_out"]
    assert (left_out["account"], left_out["day"]) == ("bolt & co", "2026-10-14")
    found = Portfolio(export).check()
    (error,) = found[found["severity"] == "error"].to_dict("records")
    assert error["account"] == "bolt & co"


def test_a_portfolio_of_which_nothing_can_be_read(export: Path) -> None:
    for file in export.rglob("*.parquet"):
        break_footer(file)
    with pytest.raises(DataError, match="no account"):
        Portfolio(export, on_error="skip").by_month()


def test_exports_of_older_and_newer_releases(export: Path) -> None:
    """What an older one lacks is missing, what a newer one adds is not read, dates may be text."""
    old = part(export, "bolt%20%26%20co")
    pq.write_table(pq.read_table(old).drop_columns(["team", "owner", "currency"]), old)
    new = part(export, "acme", SECOND)
    table = pq.read_table(new)
    table = table.append_column("colour", pa.array(["red"] * len(table)))
    at = table.schema.get_field_index("expected_close")
    text = table["expected_close"].cast(pa.string())
    pq.write_table(table.set_column(at, "expected_close", text), new)

    found = Portfolio(export).by_month(by=["account", "owner"])
    assert rows(found[found["account"] == "bolt & co"], "won_value") == [(1000.0,)]
    assert found.loc[found["account"] == "bolt & co", ["currency", "owner"]].isna().all(axis=None)
    assert found.loc[found["account"] == "acme", "month"].astype(str).unique() == ["2026-11"]
    checks = Portfolio(export).check()
    assert rows(checks, "account", "day", "check") == [
        ("acme", "2026-10-15", "unknown_columns"),
        ("acme", "2026-10-15", "other_type"),
        ("bolt & co", "2026-10-14", "missing_columns"),
        ("bolt & co", "2026-10-14", "behind"),
        ("nil", "2026-10-14", "no_deals"),
        ("nil", "2026-10-14", "behind"),
    ]


def test_what_is_no_export_is_said(tmp_path: Path) -> None:
    for address in (tmp_path, tmp_path / "nowhere", "memory://nowhere"):
        with pytest.raises(DataError, match="holds no export"):
            Portfolio(address)
    with pytest.raises(DataError, match="no-such-protocol"):
        Portfolio("no-such-protocol://x")


def test_options_that_are_not_valid(export: Path) -> None:
    with pytest.raises(ArgumentError, match="on_error"):
        Portfolio(export, on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="engine must be"):
        Portfolio(export).by_month(engine="spark")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="by account or in total, not by 'owner'"):
        Portfolio(export).changes(FIRST, by="owner")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="2026-10-15, is after the second, 2026-10-14"):
        Portfolio(export).changes(SECOND, FIRST)
    with pytest.raises(ArgumentError, match="needs engine='dask'"):
        Portfolio(export).by_month(engine="duckdb", scheduler="tcp://127.0.0.1:1")


def test_the_report_of_a_portfolio(export: Path, tmp_path: Path) -> None:
    part(export, "nil").write_bytes(b"")
    with pytest.raises(DataError, match="'nil'"):
        write_figures(group_figures(export), tmp_path / "report")
    assert not (tmp_path / "report").exists()
    group = group_figures(
        export, home_currency="GBP", rates=RATES, on_error="skip", changes_since=FIRST,
        formats=(), projection=False,
    )  # fmt: skip
    files = write_figures(group, tmp_path / "report")
    assert [file.name for file in files] == [
        "accounts.csv", "changes.csv", "changes_total.csv", "data_quality.csv", "forecast.csv",
        "forecast_total.csv", "left_out.csv", "revenue.csv", "revenue_total.csv", "win_rates.csv",
    ]  # fmt: skip
    text = {file.name: file.read_text(encoding="utf-8").splitlines() for file in files}
    assert text["revenue.csv"] == [
        "month,currency,account,open_value,weighted_value,won_value,expected_value",
        "2026-10,GBP,bolt & co,0.00,0.00,1000.00,1000.00",
        "2026-11,GBP,acme,240.00,120.00,0.00,120.00",
    ]
    measures = "open_deals,open_value,weighted_value,won_deals,won_value,expected_value"
    # 200 and 40, each won or not: nothing in one case of four, 240 in another.
    assert text["forecast_total.csv"] == [
        f"month,currency,{measures},p10,p50,p90",
        "2026-10,GBP,0,0.00,0.00,1,1000.00,1000.00,1000.00,1000.00,1000.00",
        "2026-11,GBP,2,240.00,120.00,0,0.00,120.00,0.00,40.00,240.00",
    ]
    assert "GBP,value_up,1,100.00" in text["changes_total.csv"]
    assert [line.split(",")[0] for line in text["left_out.csv"]] == ["account", "nil"]
    assert group.forecast_in_groups["won_value"].sum() == 1000
    assert group.left_out["account"].tolist() == ["nil"]
    plain = group_figures(export, on_error="skip", ranges=False, projection=False)
    fewer = write_figures(plain, tmp_path / "report")
    assert {file.name for file in files} - {file.name for file in fewer} == {
        "changes.csv", "changes_total.csv",
    }  # fmt: skip
    assert not (tmp_path / "report" / "changes_total.csv").exists()
