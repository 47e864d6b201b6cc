"""The projection on the report of a group: the figures of `Portfolio.project`, wherever shown."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest
from grown_group import exported, grown_group

from capsule_analytics import fx, projection
from capsule_analytics.portfolio import Portfolio
from capsule_analytics.report import GroupFigures, group_figures, write_figures

if TYPE_CHECKING:
    from pathlib import Path

DAYS = pd.date_range("2024-01-01", "2025-01-01")
RATES = fx.Rates("GBP", {"EUR": pd.Series(0.5, index=DAYS)}, source="a test")
HOME: dict[str, Any] = {"home_currency": "GBP", "rates": RATES}
AMOUNTS = ["won_value", "open_value", "new_value", "expected_value", "p10", "p50", "p90"]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two accounts that tell enough of themselves for a track record, as of 31 December 2024."""
    folder = tmp_path_factory.mktemp("projected") / "export"
    return exported(grown_group(2, 12, seed=4), folder)


@pytest.fixture(scope="module")
def group(export: Path) -> GroupFigures:
    return group_figures(export, **HOME)


@pytest.fixture(scope="module")
def report(group: GroupFigures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the group."""
    folder = tmp_path_factory.mktemp("report")
    made = GroupFigures(
        group.view,
        group.options.__class__(formats=("png",), html=True, xlsx=True),
        home=group.home,
        project=lambda: _of(group),
    )
    write_figures(made, folder)
    return folder


def _of(group: GroupFigures) -> Any:
    """The projection of the group, which is made once for all tests."""
    assert group.projection is not None
    return group.projection


def without_entry(export: Path, tmp_path: Path, account: str) -> Path:
    """The export, one account of which does not tell when its deals were entered."""
    copy = shutil.copytree(export, tmp_path / "export")
    for file in (copy / f"account={account}").rglob("*.parquet"):
        pq.write_table(pq.read_table(file).drop_columns(["created_at"]), file)
    return copy


def test_the_files_have_what_the_portfolio_projects(
    report: Path, export: Path, group: GroupFigures
) -> None:
    """An account that is fitted once for months and quarters comes to the same quarters."""
    found = pd.read_csv(report / "projection.csv", keep_default_na=False)
    assert found.columns.tolist() == ["month", "account", "currency", *AMOUNTS]
    assert found["account"].tolist() == ["a00", "a01", ""] * 6
    assert found["month"].unique().tolist() == [f"2025-{month:02}" for month in range(1, 7)]
    whole = _of(group).by_month("month")
    assert found[AMOUNTS].to_numpy() == pytest.approx(whole[AMOUNTS].to_numpy(), abs=0.00501)
    quarters = Portfolio(export).project(3, period="quarter", **HOME).by_month()
    first = quarters[quarters["quarter"] == "2025Q1"]
    accounts = pd.read_csv(report / "accounts.csv").set_index("account")
    for row in first[first["account"].notna()].to_dict("records"):
        mine = accounts.loc[row["account"]]
        assert mine["projected_value"] == pytest.approx(row["expected_value"], abs=0.00501)
        assert mine["projected_p10"] == pytest.approx(row["p10"], abs=0.00501)
        assert mine["projected_p90"] == pytest.approx(row["p90"], abs=0.00501)
    book = openpyxl.load_workbook(report / "report.xlsx")
    assert book.sheetnames[:4] == ["Outlook", "Projection", "Track record by account", "Accounts"]
    month, quarter = (
        dict(zip((cell.value for cell in book["Outlook"][1]), row, strict=True))
        for row in book["Outlook"].iter_rows(min_row=2, values_only=True)
    )
    assert (month["period"], quarter["period"]) == ("January 2025", "Q1 2025")
    total = first[first["account"].isna()].iloc[0]
    assert quarter["expected_value"] == pytest.approx(total["expected_value"], abs=0.00501)
    assert quarter["p90"] == pytest.approx(total["p90"], abs=0.00501)
    assert month["p10"] == pytest.approx(whole["p10"].iloc[2], abs=0.00501)
    assert (report / "projection.png").stat().st_size > 10_000


def test_the_page_leads_with_the_projection(report: Path, group: GroupFigures) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    (head,) = group.outlook
    assert (head.currency, head.month.name, head.quarter.name) == ("GBP", "January 2025", "Q1 2025")
    lead = re.search(r'<p class="lead">(.*?)</p>', page)
    assert lead is not None
    assert lead[1] == head.sentence.replace("'", "&#39;")
    assert page.index('id="c0-projection"') < page.index('id="accounts"')
    assert "Projected for Q1 2025" in page
    told = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert told is not None
    data = json.loads(told[1])
    table = data["tables"]["projection"]
    rows = range(table["at"][1], table["at"][2])  # of a01
    keys = [table["texts"]["key"][table["columns"]["key"][row]] for row in rows]
    mine = group.projected_by_account
    assert mine is not None
    mine = mine[(mine["account"] == "a01").to_numpy()]
    assert keys[-6:] == mine["month"].astype(str).tolist()
    cents = [table["columns"]["expected_value"][row] for row in rows][-6:]
    assert cents == [round(100 * amount) for amount in mine["expected_value"]]
    past = dict(zip(keys[:-6], [table["columns"]["won_value"][row] for row in rows], strict=False))
    months = group.forecast_by_account
    won = months[(months["account"] == "a01").to_numpy() & (months["won_value"] > 0).to_numpy()]
    assert past == {
        str(row["month"]): round(100 * row["won_value"]) for row in won.to_dict("records")
    }
    said = data["tables"]["outlook"]
    assert said["texts"]["sentence"][said["columns"]["sentence"][1]] == (
        group.outlook_by_account["a01", "GBP"].sentence
    )


def test_no_track_record_is_claimed_of_the_group(group: GroupFigures, report: Path) -> None:
    """What is known is how each account's own projections came true."""
    (head,) = group.outlook
    record = pd.read_csv(report / "track_record.csv")
    inside = int(record["inside"].sum())
    assert len(record) >= projection.FEWEST_MONTHS
    assert head.sentence.endswith(
        "The ranges are meant to hold four of five outcomes; no track record of the group yet, but "
        f"of its accounts' past months {inside} of {len(record)} came inside their range."
    )
    assert group.track is None
    for (account, _), one in group.outlook_by_account.items():
        rows = record[record["account"] == account]
        assert one.track == projection.track_words(rows)
        assert one.sentence.endswith(f"The ranges hold four of five outcomes; {one.track}.")


def test_held_against_last_year(group: GroupFigures) -> None:
    """The same quarter, of all accounts and of each."""
    past = group.forecast_quarter.set_index("quarter")["won_value"]
    (head,) = group.outlook
    assert head.against is not None
    assert head.against.amount == past[pd.Period("2024Q1", freq="Q-DEC")]
    each = group._forecast(("account",), period="quarter", ranges=False)
    ago = each[(each["quarter"] == "2024Q1").to_numpy()].set_index("account")["won_value"]
    for (account, _), one in group.outlook_by_account.items():
        if ago.get(account, 0.0):
            assert one.against is not None
            assert one.against.amount == ago[account]


def test_an_account_that_cannot_be_projected_is_named(export: Path, tmp_path: Path) -> None:
    copy = without_entry(export, tmp_path, "a01")
    steps: list[tuple[int, int]] = []
    group = group_figures(
        copy, html=True, formats=(), progress=lambda done, of: steps.append((done, of)), **HOME
    )
    write_figures(group, tmp_path / "report")
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert group.unread.empty
    why = "no deal has the time at which it was entered (created_at), so nothing has a past"
    assert group.unprojected[["account", "problem"]].to_numpy().tolist() == [["a01", why]]
    assert group.exceptions["problem"].tolist() == [f"not in the projection: {why}"]
    left = pd.read_csv(tmp_path / "report" / "left_out.csv")
    assert left["account"].tolist() == ["a01"]
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "figures, but not in the projection: a01." in page
    accounts = group.accounts.set_index("account")
    assert pd.isna(accounts.loc["a01", "projected_value"])
    assert accounts.loc["a01", "open_value"] > 0
    (head,) = group.outlook
    assert head.against is None  # last year's has what the projection has not
    table = pd.read_csv(tmp_path / "report" / "projection.csv", keep_default_na=False)
    assert table["account"].unique().tolist() == ["a00", ""]


def test_where_none_can_be_projected_the_report_is_the_weighted_one(
    export: Path, tmp_path: Path
) -> None:
    copy = without_entry(export, tmp_path, "a00")
    shutil.rmtree(copy / "account=a01")
    group = group_figures(copy, html=True, formats=(), **HOME)
    write_figures(group, tmp_path / "report")
    assert group.projection is None
    assert group.outlook == ()
    assert group.unprojected["account"].tolist() == ["a00"]
    assert not (tmp_path / "report" / "projection.csv").exists()
    assert "This is no projection" in (tmp_path / "report" / "report.html").read_text("utf-8")


def test_without_a_projection_nothing_is_projected(export: Path, tmp_path: Path) -> None:
    group = group_figures(export, projection=False, html=True, formats=("png",), **HOME)
    files = write_figures(group, tmp_path / "report")
    assert not {"projection.csv", "projection.png", "track_record.csv"} & {
        file.name for file in files
    }
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "rojected" not in page.partition("<script")[0].partition("</style>")[2]
    assert "projected_value" not in group.accounts.columns


def test_the_same_digits_on_dask(group: GroupFigures, export: Path) -> None:
    threads = group_figures(export, engine="dask", **HOME)
    for name in ("projected", "projected_quarters", "projected_by_account", "track_by_account"):
        one, other = getattr(group, name), getattr(threads, name)
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert threads.outlook == group.outlook
    assert threads.outlook_by_account == group.outlook_by_account
