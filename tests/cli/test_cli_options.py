"""The options of ``capsule-report`` beyond the plain report, and ``capsule.toml``."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import click
import pandas as pd
import pyarrow.parquet as pq
import pytest
from commands import NO_CHARTS, invoked
from grown_group import exported, grown_group

import capsule_analytics as ca
from capsule_analytics.cli import _figures, report
from capsule_analytics.cli._args import ReportArgs
from capsule_analytics.cli._checks import check_options
from capsule_analytics.cli._config import read_config, write_template
from capsule_analytics.cli._run import run as run_command
from capsule_analytics.errors import ConfigError
from capsule_analytics.report import write_figures
from capsule_analytics.sandbox import Sandbox


def run(out: Path, *args: str | Path) -> pd.DataFrame:
    """Write the sample account's tables with some options, no charts; return forecast.csv.

    Without the projection, which takes longer than all the rest; `test_cli` has it.
    """
    words = ["--sample", "--no-projection", "--out", str(out), *map(str, args)]
    context = report.make_context("x", words)
    chosen = ReportArgs(**context.params)
    check_options(context, chosen)
    figures = _figures.figures(*_figures.load(chosen, lambda: None), chosen)
    without_charts = replace(figures.options, formats=())
    write_figures(replace(figures, options=without_charts), out)
    return pd.read_csv(out / "forecast.csv", keep_default_na=False)


def with_charts(out: Path, *args: str | Path) -> None:
    done = invoked("capsule-report", "--sample", "--no-projection", "--out", out, *args)
    assert done.returncode == 0, done.stderr


def rates_file(folder: Path) -> Path:
    """Write rates of each day for all currencies of the sample account but XXX."""
    rates = folder / "rates.csv"
    rates.write_text(
        "date,currency,rate\n"
        + "".join(
            f"{day:%Y-%m-%d},{code},{rate}\n"
            for day in pd.date_range("2024-01-01", "2026-10-15", freq="D")
            for code, rate in (("EUR", "0.85"), ("USD", "0.75"), ("CHF", "0.90"))
        )
    )
    return rates


def test_groups_and_fiscal_quarters(tmp_path: Path) -> None:
    table = run(tmp_path, "--by", "owner", "--period", "quarter", "--fiscal-year-start", "4")
    assert list(table.columns[:4]) == ["quarter", "currency", "owner", "open_deals"]
    whole = run(tmp_path)
    assert table["won_deals"].sum() == whole["won_deals"].sum()
    assert table["won_value"].sum() == pytest.approx(whole["won_value"].sum(), abs=0.005)
    # September 2026 lies in the second quarter of the year from April 2026, which ends in 2027.
    september = whole[whole["month"].isin(["2026-07", "2026-08", "2026-09"])]
    quarter = table[table["quarter"] == "2027Q2"]
    assert quarter["won_value"].sum() == pytest.approx(september["won_value"].sum(), abs=0.005)


def test_overdue_deals_roll_into_the_month_or_drop_out(tmp_path: Path) -> None:
    kept, rolled, dropped = (
        run(tmp_path, "--overdue", policy) for policy in ("keep", "roll", "drop")
    )
    past = kept["month"].between("2000-01", "2026-09")
    assert kept.loc[past, "open_deals"].sum() > 0
    assert rolled.loc[rolled["month"].between("2000-01", "2026-09"), "open_deals"].sum() == 0
    assert rolled["open_deals"].sum() == kept["open_deals"].sum()
    assert kept["open_deals"].sum() - dropped["open_deals"].sum() == 39


def test_a_home_currency_shows_the_rates_and_the_originals(tmp_path: Path) -> None:
    rates = rates_file(tmp_path)
    out = tmp_path / "report"
    options = ("--home-currency", "GBP", "--rates", rates)
    refused = invoked("capsule-report", "--sample", "--no-projection", "--out", out, *options)
    assert refused.returncode == 1
    assert "XXX" in refused.stderr
    assert not out.exists()
    table = run(out, *options, "--missing-rate", "flag")
    assert set(table["currency"]) == {"GBP", "XXX", ""}
    frame = ca.load_sample().opportunities
    won = frame[frame["status"] == "won"]
    worth = {"GBP": "1", "EUR": "0.85", "USD": "0.75", "CHF": "0.90"}
    expected = sum(
        Decimal(repr(row.tcv)) * Decimal(worth[row.currency]) for row in won.itertuples()
    )
    assert Decimal(str(table["won_value"].sum())) == pytest.approx(expected, abs=Decimal("0.2"))
    deals = pd.read_csv(out / "opportunities.csv")
    euro = deals[deals["original_currency"] == "EUR"]
    assert set(euro["fx_rate"]) == {0.85}
    assert euro["tcv"].sum() == pytest.approx(euro["original_tcv"].sum() * 0.85, abs=1)
    used = pd.read_csv(out / "rates.csv")
    assert {"currency", "rate"} <= set(used.columns)
    assert "missing_rate" in set(pd.read_csv(out / "data_quality.csv")["check"])


def test_targets_add_a_table_and_a_chart(tmp_path: Path) -> None:
    targets = tmp_path / "targets.csv"
    targets.write_text("period,currency,owner,target\n2026-Q4,GBP,,900000\n2026-10,EUR,,0\n")
    with_charts(tmp_path / "r", "--targets", targets)
    table = pd.read_csv(tmp_path / "r" / "targets.csv")
    assert table["target"].tolist() == [900000.0, 0.0]
    assert (tmp_path / "r" / "targets.png").stat().st_size > 10_000


def test_the_chance_to_reach_a_target(tmp_path: Path) -> None:
    table = run(tmp_path, "--target", "100000")
    assert table.columns[table.columns.get_loc("p90") + 1] == "chance"
    assert table["chance"].between(0, 1).all()


def test_correlation_widens_the_range_and_keeps_the_mean(tmp_path: Path) -> None:
    alone, together = run(tmp_path), run(tmp_path, "--correlation", "0.4")
    assert alone["expected_value"].tolist() == together["expected_value"].tolist()
    row = (alone["month"] == "2026-11") & (alone["currency"] == "GBP")
    width = [float((t.loc[row, "p90"] - t.loc[row, "p10"]).iloc[0]) for t in (alone, together)]
    assert width[1] > width[0]


def test_calibrated_probabilities_change_only_the_weighted_value(tmp_path: Path) -> None:
    stated, learnt = run(tmp_path), run(tmp_path, "--probability", "calibrated")
    assert stated["open_value"].tolist() == learnt["open_value"].tolist()
    assert learnt["weighted_value"].sum() < stated["weighted_value"].sum()


def test_the_changes_since_a_day_add_up(tmp_path: Path) -> None:
    with_charts(tmp_path, "--changes-since", "2026-09-30")
    bridge = pd.read_csv(tmp_path / "changes.csv").pivot_table(
        index="currency", columns="part", values="value", aggfunc="sum"
    )
    parts = bridge.drop(columns=["opening", "closing"]).sum(axis=1)
    assert (bridge["opening"] + parts - bridge["closing"]).abs().max() < 0.005
    assert (tmp_path / "changes.png").exists()
    deals = pd.read_csv(tmp_path / "changed_deals.csv")
    bars = deals.groupby(["currency", "part"])["value"].sum().round(2)
    assert bars.to_dict() == {
        (currency, part): round(value, 2)
        for currency, parts in bridge.iterrows()
        for part, value in parts.items()
        if part not in {"opening", "closing"} and value
    }


def test_changes_in_a_home_currency_are_those_of_the_whole_pipeline(tmp_path: Path) -> None:
    """Both days are converted at today's rates, so the closing bar is the open pipeline."""
    rates = rates_file(tmp_path)
    out = tmp_path / "report"
    table = run(out, "--changes-since", "2026-09-30", "--home-currency", "GBP", "--rates", rates,
                "--missing-rate", "flag")  # fmt: skip
    bridge = pd.read_csv(out / "changes.csv")
    closing = bridge[(bridge["currency"] == "GBP") & (bridge["part"] == "closing")]["value"]
    open_value = table.loc[table["currency"] == "GBP", "open_value"].sum()
    assert closing.iloc[0] == pytest.approx(open_value, abs=0.5)


def test_changes_before_the_first_snapshot_are_an_error(tmp_path: Path) -> None:
    done = invoked(
        "capsule-report", "--sample", "--changes-since", "2020-01-01", "--out", tmp_path / "r"
    )
    assert done.returncode == 1
    assert "no snapshot" in done.stderr


def test_formats(tmp_path: Path) -> None:
    with_charts(tmp_path, "--format", "svg, pdf")
    assert {path.name for path in tmp_path.glob("forecast.*")} == {
        "forecast.svg",
        "forecast.pdf",
        "forecast.csv",
    }
    bad = invoked("capsule-report", "--sample", "--out", tmp_path, "--format", "gif")
    assert bad.returncode == 2
    with_charts(tmp_path, *NO_CHARTS)
    assert not {path.suffix for path in tmp_path.glob("forecast.*")} - {".csv"}


def test_a_second_report_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    """A chart of last week's changes must not stand beside today's forecast."""
    (tmp_path / "notes.txt").write_text("mine")
    with_charts(tmp_path, "--changes-since", "2026-09-30")
    assert (tmp_path / "changes.png").exists()
    with_charts(tmp_path, *NO_CHARTS)
    assert not list(tmp_path.glob("changes.*"))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_portfolio_adds_up_to_its_accounts(tmp_path: Path) -> None:
    """The export of one account, reported as a portfolio, is that account's forecast."""
    export = tmp_path / "export"
    done = invoked("capsule-snapshot", "--sample", "--store", tmp_path / "h.duckdb",
                   "--export", export)  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = tmp_path / "portfolio"
    done = invoked("capsule-report", "--portfolio", export, "--as-of", "2026-10-15", "--out", out,
                   "--no-projection", *NO_CHARTS)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (out / "projection.csv").exists()
    whole = run(tmp_path / "one")
    total = pd.read_csv(out / "forecast_total.csv", keep_default_na=False)
    names = ["month", "currency", "open_deals", "weighted_value", "won_value", "expected_value"]
    pd.testing.assert_frame_equal(total[names], whole[names])
    assert set(pd.read_csv(out / "forecast.csv")["account"]) == {"Tarn & Reed Consulting Ltd"}
    ranges = ["p10", "p50", "p90"]
    pd.testing.assert_frame_equal(total[ranges], whole[ranges])


def test_a_portfolio_is_projected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What all will probably win comes first; how long it takes is said of many accounts."""
    export = exported(grown_group(2, 3, seed=4), tmp_path / "export")
    for file in (export / "account=a01").rglob("*.parquet"):
        pq.write_table(pq.read_table(file).drop_columns(["created_at"]), file)
    out = tmp_path / "report"
    asked = "capsule-report", "--portfolio", export, *NO_CHARTS, "--out", out
    done = invoked(*asked)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Will probably be won: €")
    assert "no track record of the group yet." in done.stdout
    assert "Not in the projection: 'a01'; see left_out.csv." in done.stdout
    assert {"projection.csv", "track_record.csv"} <= {path.name for path in out.iterdir()}
    shutil.rmtree(export / "account=a00")
    monkeypatch.setattr(_figures, "_MANY", 1)
    done = invoked(*asked)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "Projecting 1 account takes some 1 minute; --no-projection leaves it out.",
        "No projection: no account has the dates that it is learnt from.",
    ]
    assert not (out / "projection.csv").exists()


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    """Only what an earlier report wrote is replaced or removed, and never what it reads."""
    for name in ("rates.csv", "changes.csv", "report.xlsx"):
        (tmp_path / name).write_text("mine")
    run(tmp_path, "--xlsx", "--changes-since", "2026-09-30")
    run(tmp_path)
    assert (tmp_path / "rates.csv").read_text() == "mine"
    assert not (tmp_path / "changes.csv").exists()
    assert not (tmp_path / "report.xlsx").exists()

    targets = tmp_path / "targets.csv"
    targets.write_text("period,currency,target\n2026-Q4,GBP,500000\n")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    done = invoked("capsule-report", "--sample", "--no-projection", *NO_CHARTS,
                   "--targets", targets, "--out", tmp_path)  # fmt: skip
    assert done.returncode == 1
    assert f"would replace {targets}, which it reads" in done.stderr
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_charts_of_groups_show_the_whole(tmp_path: Path) -> None:
    """A deal with two tags counts under both in the table, and once in the picture."""
    with_charts(tmp_path / "plain")
    with_charts(tmp_path / "tags", "--by", "tag")
    for name in ("forecast.png", "revenue.png"):
        assert (tmp_path / "tags" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_the_goals_of_the_account_are_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sandbox() as sandbox:
        monkeypatch.setenv("CAPSULE_TOKEN", sandbox.token)
        words = ["--base-url", sandbox.url, "--targets", "capsule", "--as-of", "2026-10-15"]
        context = report.make_context("x", [*words, "--out", str(tmp_path)])
        chosen = ReportArgs(**context.params)
        check_options(context, chosen)
        figures = _figures.figures(*_figures.load(chosen, lambda: None), chosen)
    with Sandbox() as again, ca.CapsuleClient(base_url=again.url, token=again.token) as client:
        goals = ca.targets.from_goals(client)
    assert chosen.inputs == ()
    assert figures.attainment is not None
    assert figures.attainment["target"].tolist() == goals["target"].tolist()
    assert set(figures.attainment["measure"]) == {"value", "deals"}
    warned = capsys.readouterr().err
    assert goals.attrs["left_out"]
    assert all(f"Warning: {sentence}." in warned for sentence in goals.attrs["left_out"])


@pytest.mark.parametrize("place", [["--sample"], ["--account", "a", "--api-version", "v1"]])
def test_without_goals_they_cannot_be_targets(place: list[str]) -> None:
    context = report.make_context("x", [*place, "--targets", "capsule", "--out", "r"])
    with pytest.raises(click.UsageError, match="needs an account over API v2"):
        check_options(context, ReportArgs(**context.params))


def test_targets_that_no_deal_could_count_for_are_told(tmp_path: Path) -> None:
    targets = tmp_path / "targets.csv"
    targets.write_text("period,currency,owner,target\n2026-Q4,GBP,,9\n2026-Q4,GBP,nobody,9\n")
    done = invoked("capsule-report", "--sample", "--no-projection", *NO_CHARTS,
                   "--targets", targets, "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.startswith("Warning: there is a target for the owner 'nobody', and no deal")
    assert done.stderr.count("\n") == 1


def test_a_warning_is_one_line_of_words(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def warn() -> None:
        warnings.warn("no installed font has the letters", UserWarning, stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run_command(warn, []) == 0
    assert capsys.readouterr().err == "Warning: no installed font has the letters\n"


def test_changes_since_today_or_later(tmp_path: Path) -> None:
    done = invoked("capsule-report", "--sample", "--changes-since", "2026-10-15", "--out", tmp_path)
    assert done.returncode == 1
    assert "changes since 2026-10-15: that is not before 2026-10-15" in done.stderr


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = invoked("capsule-report", "--sample", "--no-projection",
                   "--out", tmp_path / "file" / "report")  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == f"Error: {tmp_path / 'file' / 'report'}: Not a directory\n"


def test_too_little_history_to_correct_probabilities(tmp_path: Path) -> None:
    """With one snapshot nothing has ended since: that is said, and the page says stated."""
    store = tmp_path / "history.duckdb"
    with Sandbox(token="t0ken") as sandbox:
        one = "--base-url", sandbox.url, "--store", store
        assert invoked("capsule-snapshot", *one, token="t0ken").returncode == 0
        done = invoked("capsule-report", *one, "--probability", "calibrated", "--html",
                       "--no-projection", *NO_CHARTS,
                       "--out", tmp_path / "report", token="t0ken")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Probabilities stay as stated: 0 deals have ended")
    assert "as stated in Capsule" in (tmp_path / "report" / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--portfolio", "x", "--sample"], "--sample is of no use with --portfolio"),
        (["--portfolio", "x", "--snapshot"], "--snapshot is of no use with --portfolio"),
        (["--sample", "--no-ranges"], "--no-ranges is of no use without --portfolio"),
        (["--sample", "--missing-rate", "flag"], "is of no use without --home-currency"),
        (["--sample", "--store", "x.duckdb"], "--store is of no use with --sample"),
        (["--sample", "--full-every", "3"], "--full-every is of no use without --snapshot"),
        (["--sample", "--snapshot"], "--snapshot is of no use with --sample"),
        (["--account", "a", "--snapshot", "--as-of", "2026-10-15"], "without --as-of"),
        (["--sample", "--commit", "0.3"], "--best-case 0.5 must not be above --commit 0.3"),
        (["--account", "a", "--api-version", "v1", "--by", "tag"], "--by tag needs --api-version"),
    ],
)
def test_options_that_would_have_no_effect(options: list[str], said: str, tmp_path: Path) -> None:
    done = invoked("capsule-report", *options, "--out", tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


class TestConfiguration:
    """``capsule.toml`` in the current folder; what is typed wins."""

    def report(self, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
        return invoked("capsule-report", *NO_CHARTS, *args, cwd=folder)

    def test_its_options_count(self, tmp_path: Path) -> None:
        (tmp_path / "capsule.toml").write_text(
            'sample = true\nno-projection = true\nout = "here"\nperiod = "year"\nby = ["team"]\n'
            "[thresholds]\nbest-case = 0.6\n"
        )
        done = self.report(tmp_path)
        assert done.returncode == 0, done.stderr
        table = pd.read_csv(tmp_path / "here" / "forecast.csv")
        assert list(table.columns[:3]) == ["year", "currency", "team"]

    def test_what_is_typed_wins(self, tmp_path: Path) -> None:
        (tmp_path / "capsule.toml").write_text(
            'sample = true\nno-projection = true\nout = "here"\nperiod = "year"\n'
        )
        assert self.report(tmp_path, "--period", "quarter").returncode == 0
        assert pd.read_csv(tmp_path / "here" / "forecast.csv").columns[0] == "quarter"

    def test_an_unknown_key_names_the_nearest(self, tmp_path: Path) -> None:
        (tmp_path / "capsule.toml").write_text('sample = true\nout = "r"\nhome-curency = "GBP"\n')
        done = self.report(tmp_path)
        assert done.returncode == 1
        assert "did you mean 'home-currency'?" in done.stderr

    def test_the_token_does_not_belong_there(self, tmp_path: Path) -> None:
        (tmp_path / "capsule.toml").write_text('token = "s3cret"\n')
        done = self.report(tmp_path, "--sample", "--out", "r")
        assert done.returncode == 1
        assert "s3cret" not in done.stderr

    @pytest.mark.parametrize("text", ["= nonsense", "thresholds = 1", "period = 'decade'"])
    def test_nonsense_is_one_line(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "capsule.toml").write_text(text)
        done = self.report(tmp_path, "--sample", "--out", "r")
        assert done.returncode in {1, 2}
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "r").exists()

    def test_init_writes_a_template_once(self, tmp_path: Path) -> None:
        assert self.report(tmp_path, "--init").returncode == 0
        again = self.report(tmp_path, "--init")
        assert again.returncode == 1
        assert "not overwritten" in again.stderr

    def test_every_line_of_the_template_is_an_option(self, tmp_path: Path) -> None:
        path = tmp_path / "capsule.toml"
        write_template(path)
        lines = path.read_text().splitlines()
        live = [line.removeprefix("# ") for line in lines if " = " in line or "[" in line]
        path.write_text("\n".join(live))
        values = read_config(path)
        assert values["fiscal-year-start"] == 4
        assert values["best-case"] == 0.5

    def test_a_broken_encoding_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "capsule.toml"
        path.write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigError, match=r"capsule\.toml"):
            read_config(path)
