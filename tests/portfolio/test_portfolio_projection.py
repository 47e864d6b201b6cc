"""The projection of many accounts: each beside its group, and what they bring together."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from grown_group import Grown, exported, grown_group

from capsule_analytics import fx, projection
from capsule_analytics.errors import ArgumentError, DataError, NoProjectionError
from capsule_analytics.portfolio import GroupProjection, Portfolio
from capsule_analytics.portfolio import _project as _portfolio_project

if TYPE_CHECKING:
    from pathlib import Path

FIGURES = ["won_value", "open_value", "new_value", "expected_value", "p10", "p50", "p90"]
DAYS = pd.date_range("2024-01-01", "2024-05-01")
RATES = fx.Rates("GBP", {"EUR": pd.Series(0.5, index=DAYS)}, source="a test")
LAST = date(2024, 4, 30)


@pytest.fixture(scope="module")
def group() -> list[Grown]:
    return grown_group(3, 4, seed=7)


@pytest.fixture(scope="module")
def export(group: list[Grown], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(group, tmp_path_factory.mktemp("group") / "export")


@pytest.fixture(scope="module")
def projected(export: Path) -> GroupProjection:
    return Portfolio(export).project(months=2)


def test_a_row_an_account_month_and_currency(projected: GroupProjection) -> None:
    table = projected.by_month()
    assert table.columns.tolist() == ["month", "account", "currency", *FIGURES]
    assert table["account"].tolist() == ["a00", "a01", "a02"] * 2
    assert table["month"].astype(str).unique().tolist() == ["2024-05", "2024-06"]
    assert (table["p10"] <= table["p50"]).all()
    assert (table["p50"] <= table["p90"]).all()
    assert table.attrs["as_of"] == table.attrs["day"] == "2024-04-30"
    assert (table.attrs["accounts"], table.attrs["left_out"]) == (3, [])
    assert projected.basis["snapshots"].tolist() == [4, 4, 4]
    assert repr(projected) == "<GroupProjection of 3 accounts as of 2024-04-30>"


def test_an_account_is_projected_as_by_itself_with_what_the_others_told(
    group: list[Grown], projected: GroupProjection, export: Path
) -> None:
    """The files hold what the snapshots do, so the figures are the same to the last digit."""
    told = projection.pool([projection.lesson(one.seen, LAST) for one in group], LAST)
    model = projection.fit(group[1].seen, prior=told.prior("a01"))
    mine = projected.by_month().query("account == 'a01'")
    assert mine[FIGURES].to_numpy().tolist() == model.by_month(2)[FIGURES].to_numpy().tolist()
    alone = Portfolio(export).project(months=1, pooled=False).by_month()
    own = projection.fit(group[1].seen).by_month(1)
    mine = alone.query("account == 'a01'")
    assert mine[FIGURES].to_numpy().tolist() == own[FIGURES].to_numpy().tolist()


def test_what_is_expected_of_all_is_the_sum(projected: GroupProjection) -> None:
    table, total = projected.by_month(), projected.total()
    assert total["account"].isna().all()
    sums = table.groupby("month")[FIGURES[:4]].sum()
    assert total[FIGURES[:4]].to_numpy() == pytest.approx(sums.to_numpy(), rel=1e-12)
    ranges = table.groupby("month")[["p10", "p90"]].sum()
    assert (total["p90"].to_numpy() < ranges["p90"].to_numpy()).all()
    assert (total["p10"].to_numpy() >= ranges["p10"].to_numpy()).all()
    law = projected.distribution("2024-05")
    assert law.mean == total["expected_value"].iloc[0]
    apart = [row.share.std**2 for one in projected._done for row in one.rows if row.bucket == 652]
    assert law.std**2 > sum(apart)


def test_several_kinds_of_period_at_once(projected: GroupProjection, export: Path) -> None:
    """Each is what it is by itself, and the first is given where none is named."""
    steps: list[tuple[int, int]] = []
    both = Portfolio(export).project(
        months=2, period=("quarter", "month"), progress=lambda done, of: steps.append((done, of))
    )
    assert steps == [(step, 6) for step in range(1, 7)]  # three teach, three are projected
    pd.testing.assert_frame_equal(both.by_month("month"), projected.by_month(), check_exact=True)
    pd.testing.assert_frame_equal(both.total("month"), projected.total(), check_exact=True)
    assert both.by_month().columns[0] == both.total().columns[0] == "quarter"
    quarter = both.distribution("2024Q2")
    assert quarter.mean == both.total()["expected_value"].iloc[0]
    assert both.distribution("2024-05").mean == projected.total()["expected_value"].iloc[0]
    assert both.track_record().columns.tolist()[:3] == ["account", "month", "currency"]
    with pytest.raises(ArgumentError, match="projected by quarter, month, not by 'year'"):
        both.by_month("year")
    with pytest.raises(ArgumentError, match="at least one of month, quarter, year"):
        Portfolio(export).project(period=())


def test_the_same_digits_on_any_engine(projected: GroupProjection, export: Path) -> None:
    threads = Portfolio(export).project(months=2, engine="dask")
    for name in ("by_month", "total"):
        one, other = getattr(projected, name)(), getattr(threads, name)()
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_at_home_with_the_total(export: Path, projected: GroupProjection) -> None:
    """At half a pound a euro everything is half, but for cents and the lattice's step."""
    home = Portfolio(export).project(
        months=2, home_currency="GBP", rates=RATES, period="quarter", target=1000.0
    )
    table = home.by_month()
    assert table.columns.tolist() == ["quarter", "account", "currency", *FIGURES, "chance"]
    assert table["account"].isna().sum() == 1
    assert table["currency"].unique().tolist() == ["GBP"]
    whole = table[table["account"].isna()].iloc[0]
    parts = table[table["account"].notna()]
    assert parts["expected_value"].sum() == pytest.approx(whole["expected_value"], rel=1e-12)
    euros = projected.total()
    assert whole["open_value"] == pytest.approx(euros["open_value"].sum() / 2, rel=0.01)
    assert whole["new_value"] == pytest.approx(euros["new_value"].sum() / 2, rel=0.01)
    assert home.distribution("2024Q2").chance_of(1000.0) == whole["chance"]
    assert projected.total()["currency"].unique().tolist() == ["EUR"]


def test_nothing_later_than_the_day_is_read(export: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(export, tmp_path / "export")
    for late in copy.glob("*/day=2024-04-30"):
        shutil.rmtree(late)
    then = Portfolio(export).project(months=1, day="2024-04-15").by_month()
    now = Portfolio(copy).project(months=1).by_month()
    pd.testing.assert_frame_equal(then, now, check_exact=True)
    assert then.attrs["day"] == "2024-03-31"


def test_an_account_that_was_last_seen_earlier(export: Path, tmp_path: Path) -> None:
    """It is projected from there on, for the months that all are projected for."""
    copy = shutil.copytree(export, tmp_path / "export")
    shutil.rmtree(copy / "account=a02" / "day=2024-04-30")
    found = Portfolio(copy).project(months=1)
    table = found.by_month()
    assert table["month"].astype(str).unique().tolist() == ["2024-05"]
    assert found.basis["as_of"].tolist() == [LAST, LAST, date(2024, 3, 31)]
    assert table.attrs["oldest_day"] == "2024-03-31"


def test_an_account_without_dates_has_a_reason_and_no_figure(export: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(export, tmp_path / "export")
    for file in (copy / "account=a01").rglob("*.parquet"):
        pq.write_table(pq.read_table(file).drop_columns(["created_at"]), file)
    *earlier, last = sorted((copy / "account=a02").rglob("*.parquet"))
    pq.write_table(pq.read_table(last).drop_columns(["closed_at", "expected_close"]), last)
    for file in earlier:
        shutil.rmtree(file.parent)
    table = Portfolio(copy).project(months=1).by_month()
    assert table["account"].tolist() == ["a00"]
    reasons = {one["account"]: one["problem"] for one in table.attrs["left_out"]}
    assert reasons == {
        "a01": "no deal has the time at which it was entered (created_at), so nothing has a past",
        "a02": "no deal that ended has the day on which it closed (closed_at)",
    }
    for name in ("a00", "a02"):
        shutil.rmtree(copy / f"account={name}")
    words = r"no account in .* can be projected: a01: no deal has the"
    with pytest.raises(NoProjectionError, match=words) as caught:
        Portfolio(copy).project()
    assert [one["account"] for one in caught.value.left_out] == ["a01"]


def test_an_account_that_cannot_be_read(export: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(export, tmp_path / "export")
    broken = copy / "account=a01" / "day=2024-02-29" / "part.parquet"
    broken.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="account 'a01' cannot be read"):
        Portfolio(copy).project(months=1)
    twice = copy / "account=a02" / "day=2024-04-30" / "part.parquet"
    shutil.copy(twice, twice.with_name("again.parquet"))
    table = Portfolio(copy, on_error="skip").project(months=1).by_month()
    assert table["account"].tolist() == ["a00"]
    problems = {one["account"]: one["problem"] for one in table.attrs["left_out"]}
    assert problems["a02"] == "has two deals of the same id on one day"


def test_one_account_and_one_without_deals(export: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(export, tmp_path / "export")
    shutil.rmtree(copy / "account=a02")
    for file in (copy / "account=a01").rglob("*.parquet"):
        pq.write_table(pq.read_table(file).slice(0, 0), file)
    found = Portfolio(copy).project(months=1)
    assert found.by_month()["account"].tolist() == ["a00"]
    assert found.basis["deals"].tolist()[1] == 0
    assert found.total()["p90"].iloc[0] == pytest.approx(found.by_month()["p90"].iloc[0], rel=0.05)


def test_of_a_month_the_last_day_is_read(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = [unit for unit in Portfolio(export)._units if unit.account == "a00"]
    more = [*units[:2], replace(units[2], day=date(2024, 3, 2)), *units[2:]]
    assert _portfolio_project._month_ends(more) == units
    monkeypatch.setattr(_portfolio_project, "_MONTHS", 2)
    assert _portfolio_project._month_ends(units) == units[-2:]


def test_the_largest_teach(
    export: Path, projected: GroupProjection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_portfolio_project, "_TEACHERS", 2)
    found = Portfolio(export).project(months=1)
    assert len(found._group.accounts) == 2
    assert not np.array_equal(
        found.total()[FIGURES].to_numpy(), projected.total()[FIGURES].to_numpy()[:1]
    )


def test_what_is_refused(export: Path, projected: GroupProjection) -> None:
    portfolio = Portfolio(export)
    with pytest.raises(ArgumentError, match="months must be 1 to 60, not 0"):
        portfolio.project(months=0)
    with pytest.raises(ArgumentError, match="looks from the day of the snapshots"):
        portfolio.project(as_of="2024-04-30")
    with pytest.raises(ArgumentError, match="period must be"):
        portfolio.project(period="week")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="the periods projected are 2024-05, 2024-06, not 2030"):
        projected.distribution("2030")
    with pytest.raises(ArgumentError, match="choose a currency of EUR, not 'XYZ'"):
        projected.distribution("2024-05", "XYZ")
