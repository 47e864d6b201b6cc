"""``capsule-report`` as a user's shell sees it: files, exit codes, one line when it fails."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import threading
import time
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pandas as pd
import pytest
from commands import BIN, NO_CHARTS, command, environment, invoked
from sandbox_account import account, deal

import capsule_analytics as ca
from capsule_analytics.cli import _terminal
from capsule_analytics.sandbox import Fault, Hook, Sandbox

pytestmark = pytest.mark.usefixtures("no_backoff")

PROJECTED = {"projection.png", "projection.csv", "projected_deals.csv", "track_record.csv"}
FILES = {
    "attention.csv",
    "forecast.png",
    "forecast.csv",
    "revenue.png",
    "revenue.csv",
    "opportunities.csv",
    "data_quality.csv",
}


@pytest.fixture(scope="module")
def sample_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample") / "report"
    done = command("capsule-report", "--sample", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("Will probably be won: £")
    assert str(out) in done.stdout
    return out


def test_the_sample_report_has_every_file(sample_report: Path) -> None:
    """The sample's own snapshots are learnt from, and the last one is compared with."""
    changes = {"changes.png", "changes.csv", "changed_deals.csv"}
    written = {path.name for path in sample_report.iterdir() if path.name[0] != "."}
    assert written == FILES | PROJECTED | changes | {"scenarios.csv"}


def test_projection_csv_has_the_coming_months_of_each_currency(sample_report: Path) -> None:
    table = pd.read_csv(sample_report / "projection.csv", dtype=str, keep_default_na=False)
    assert list(table.columns) == [
        "month", "currency", "won_value", "open_value", "new_value", "expected_value",
        "p10", "p50", "p90",
    ]  # fmt: skip
    months = [str(month) for month in pd.period_range("2026-10", periods=6, freq="M")]
    assert table.loc[table["currency"] == "GBP", "month"].tolist() == months
    assert table.iloc[:, 2:].map(lambda text: text[-3] == ".").all(axis=None)
    now = table[(table["month"] == "2026-10") & (table["currency"] == "GBP")].iloc[0]
    assert now["won_value"] == "26650.00"
    parts = sum(Decimal(now[name]) for name in ("won_value", "open_value", "new_value"))
    assert abs(parts - Decimal(now["expected_value"])) <= Decimal("0.02")


def test_forecast_csv_is_the_definition_to_the_cent(sample_report: Path) -> None:
    """Every cell, summed again from the frame in exact decimals."""
    table = pd.read_csv(sample_report / "forecast.csv", dtype=str, keep_default_na=False)
    assert list(table.columns[:11]) == [
        "month", "currency", "open_deals", "open_value", "weighted_value", "won_deals",
        "won_value", "expected_value", "p10", "p50", "p90",
    ]  # fmt: skip
    sums: dict[tuple[str, str], list[Decimal]] = {}
    for row in ca.load_sample().opportunities.itertuples():
        if row.status == "lost":
            continue
        day = row.expected_close
        if row.status == "won" and not pd.isna(row.closed_at):
            day = row.closed_at
        month = "" if pd.isna(day) else f"{day:%Y-%m}"
        currency = "" if pd.isna(row.currency) else row.currency
        cell = sums.setdefault((month, currency), [Decimal(0)] * 5)
        tcv = Decimal(0) if pd.isna(row.tcv) else Decimal(repr(row.tcv))
        chance = Decimal(0) if pd.isna(row.probability) else Decimal(repr(row.probability))
        if row.status == "open":
            cell[0] += 1
            cell[1] += tcv
            cell[2] += tcv * chance
        else:
            cell[3] += 1
            cell[4] += tcv
    shown = {
        (row["month"], row["currency"]): [
            Decimal(row[name])
            for name in ("open_deals", "open_value", "weighted_value", "won_deals", "won_value")
        ]
        for _, row in table.iterrows()
    }
    cent = Decimal("0.01")
    assert shown == {
        key: [cell[0], *(x.quantize(cent, ROUND_HALF_UP) for x in cell[1:3]), cell[3],
              cell[4].quantize(cent, ROUND_HALF_UP)]
        for key, cell in sums.items()
    }  # fmt: skip
    for _, row in table.iterrows():
        expected = Decimal(row["won_value"]) + Decimal(row["weighted_value"])
        assert abs(Decimal(row["expected_value"]) - expected) <= cent


def test_revenue_csv_sums_to_the_forecast(sample_report: Path) -> None:
    forecast = pd.read_csv(sample_report / "forecast.csv", keep_default_na=False)
    revenue = pd.read_csv(sample_report / "revenue.csv", keep_default_na=False)
    names = ["open_value", "won_value"]
    pd.testing.assert_frame_equal(
        forecast.groupby("currency")[names].sum().round(2),
        revenue.groupby("currency")[names].sum().round(2),
    )


def test_opportunities_csv_has_every_deal_and_runs_no_formula(sample_report: Path) -> None:
    table = pd.read_csv(sample_report / "opportunities.csv", dtype=str, keep_default_na=False)
    frame = ca.load_sample().opportunities
    assert table.columns[0] == "id"
    assert table["id"].astype(int).tolist() == frame.index.tolist()
    assert not table["name"].str.startswith(("=", "+", "-", "@", "\t", "\r")).any()
    formula = frame.index[frame["name"].str.startswith("=").fillna(value=False)]
    assert len(formula) == 1
    assert table.set_index("id").loc[str(formula[0]), "name"].startswith("'=")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_live_account(version: str, tmp_path: Path, sample_report: Path) -> None:
    """Over either API the forecast of one account is the same file.

    So are the findings, but that v1 tells of no contact and no time at the milestone.
    """
    with Sandbox(token="t0ken") as sandbox:
        done = invoked(
            "capsule-report", "--base-url", sandbox.url, "--api-version", version,
            "--as-of", "2026-10-15", "--no-projection", *NO_CHARTS, "--out", tmp_path,
            token="t0ken",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no progress bar in a pipe"
    for name in ("forecast.csv", "revenue.csv"):
        assert (tmp_path / name).read_bytes() == (sample_report / name).read_bytes()
    untold = ["stale", "neglected"] if version == "v1" else []
    found, expected = (pd.read_csv(one / "data_quality.csv") for one in (tmp_path, sample_report))
    expected = expected[~expected["check"].isin(untold)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)


def test_filters(tmp_path: Path) -> None:
    done = invoked("capsule-report", "--sample", "--owner", "mduarte", "--milestone", "Proposal",
                   *NO_CHARTS, "--out", tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "opportunities.csv")
    assert set(table["owner"]) == {"mduarte"}
    assert set(table["milestone"]) == {"Proposal"}


def test_an_unknown_owner_names_those_there_are(tmp_path: Path) -> None:
    done = invoked("capsule-report", "--sample", "--owner", "nobody", "--out", tmp_path / "r")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: no deal has the owner 'nobody'; there are ")
    assert "mduarte" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["--out", "r"],
        ["--sample", "--account", "acme", "--out", "r"],
        [],
        ["--account", "acme", "--out", "r"],
        ["--sample", "--out", "r", "--as-of", "2026-02-30"],
        ["--sample", "--out", "r", "--overdue", "forget"],
        ["--nonsense"],
    ],
)
def test_wrong_usage_is_exit_2(args: list[str], tmp_path: Path) -> None:
    done = invoked("capsule-report", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_failed_run_leaves_the_old_report(tmp_path: Path) -> None:
    (tmp_path / "forecast.csv").write_text("old")
    with Sandbox(token="t0ken") as sandbox:
        done = invoked("capsule-report", "--base-url", sandbox.url, "--out", tmp_path, token="no")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "401" in done.stderr
    assert (tmp_path / "forecast.csv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["forecast.csv"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = invoked("capsule-report", "--sample", "--no-projection",
                   "--out", tmp_path / "file" / "report")  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_the_token_comes_from_a_file_too(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("t0ken\n")
    secret.chmod(0o600)
    with Sandbox(account() | {"opportunities": [deal(1, "one")]}, token="t0ken") as sandbox:
        args = ("capsule-report", "--base-url", sandbox.url, *NO_CHARTS, "--token-file", secret)
        quiet = invoked(*args, "--out", tmp_path / "r")
        secret.chmod(0o644)
        warned = invoked(*args, "--out", tmp_path / "r")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert warned.returncode == 0
    assert "chmod 600" in warned.stderr


def test_an_empty_account_gives_an_empty_report(tmp_path: Path) -> None:
    with Sandbox(account() | {"opportunities": []}, token="t0ken") as sandbox:
        done = invoked(
            "capsule-report", "--base-url", sandbox.url, "--out", tmp_path, token="t0ken"
        )
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "forecast.csv")) == 0


SECRET = "S3CRET-token-4711"


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    "fault",
    [
        None,
        Fault("status", status=401, times=None),
        Fault("status", status=500, times=None),
        Fault("html", times=None),
        Fault("cut", times=None),
        Fault("reset", times=None),
        Fault("redirect", url="http://127.0.0.2:9/api", times=None),
        Fault("huge", size=70_000_000, times=None),
    ],
    ids=lambda fault: fault and f"{fault.kind}-{fault.status}",
)
def test_no_failure_shows_the_token_or_a_traceback(
    version: str, fault: Fault | None, tmp_path: Path
) -> None:
    """The token, plain or as sent, is in no output and no file of any run."""
    with Sandbox(account(), token=SECRET) as sandbox:
        if fault is not None:
            sandbox.faults.add(fault)
        done = invoked(
            "capsule-report", "--base-url", sandbox.url, "--api-version", version,
            "--out", tmp_path / "r", "--timeout", "8", "--verbose", token=SECRET,
        )  # fmt: skip
    assert done.returncode == (0 if fault is None else 1)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for secret in (SECRET, base64.b64encode(f"{SECRET}:x".encode()).decode()):
        assert secret not in done.stdout + done.stderr
        assert all(secret.encode() not in content for content in written)
    assert "Traceback" not in done.stdout + done.stderr


def test_a_server_that_repeats_the_token_is_not_quoted(tmp_path: Path) -> None:
    with Sandbox(account(), token="right") as sandbox:
        sandbox.faults.add(Fault("status", status=401, times=None, headers={"X-Echo": SECRET}))
        done = invoked("capsule-report", "--base-url", sandbox.url, "--out", tmp_path / "r",
                       token=SECRET)  # fmt: skip
    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr


def _interrupt_after(
    pages: int, sandbox: Sandbox, out: Path, cache: Path, number: int
) -> tuple[int, float, str]:
    """Start a load, press Ctrl-C or the like when so many pages have gone out.

    Return code, seconds, words.
    """
    process = subprocess.Popen(
        [BIN / "capsule-report", "--base-url", sandbox.url, "--out", out],
        env=environment("t0ken", XDG_CACHE_HOME=str(cache)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while len(sandbox.requests) < pages and time.monotonic() < deadline:
        time.sleep(0.01)
    pressed = time.monotonic()
    process.send_signal(number)
    _, words = process.communicate(timeout=60)
    return process.returncode, time.monotonic() - pressed, words


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize(
    ("number", "ends", "said"),
    [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")],
)
def test_ctrl_c_ends_at_once_and_leaves_nothing(
    number: int, ends: int, said: str, tmp_path: Path
) -> None:
    many = account() | {"opportunities": [deal(n, f"Deal {n}") for n in range(1, 3000)]}
    with Sandbox(many, token="t0ken", latency=0.5) as sandbox:
        code, seconds, words = _interrupt_after(
            12, sandbox, tmp_path / "r", tmp_path / "cache", number
        )
    assert code == ends
    assert seconds < 1
    assert words.strip() == f"{said}; nothing was written."
    assert not (tmp_path / "r").exists()
    assert not list((tmp_path / "cache").rglob("*.page")), "too few pages to be worth keeping"


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_a_long_load_is_taken_up_again(tmp_path: Path) -> None:
    many = account() | {"opportunities": [deal(n, f"Deal {n}") for n in range(1, 9001)]}
    cache = tmp_path / "cache"

    def stop(_: object) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with Sandbox(many, token="t0ken", latency=0.03, faults=[Hook(stop, at=70)]) as sandbox:
        report = ("capsule-report", "--base-url", sandbox.url, "--out", tmp_path / "r")
        home = {"token": "t0ken", "XDG_CACHE_HOME": str(cache)}
        # A test run in the background ignores SIGINT.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            done = invoked(*report, **home)
        finally:
            signal.signal(signal.SIGINT, before)
        assert done.returncode == 130
        kept = list(cache.rglob("*.page"))
        assert len(kept) > 50
        assert {path.stat().st_mode & 0o077 for path in [*kept, kept[0].parent]} == {0}
        assert all(b"t0ken" not in path.read_bytes() for path in cache.rglob("*.*"))
        before = len(sandbox.requests)
        sandbox.account.update(3, {"name": "changed meanwhile"})
        sandbox.account.delete(4)
        done = invoked(*report, "--no-projection", *NO_CHARTS, "--resume", **home)
        assert done.returncode == 0, done.stderr
        names = {record["id"]: record["name"] for record in sandbox.account.opportunities("id")}
        assert len(sandbox.requests) > before
    table = pd.read_csv(tmp_path / "r" / "opportunities.csv").set_index("id")
    assert table["name"].to_dict() == names
    assert not list(cache.rglob("*.page"))


def test_an_interrupt_after_the_report_does_not_deny_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_terminal, "summary", interrupted)
    done = invoked("capsule-report", "--sample", "--no-projection", "--out", tmp_path / "r")
    assert done.returncode == 130
    assert done.stderr.strip() == f"Interrupted; the new report in {tmp_path / 'r'} is whole."
    assert {path.name for path in (tmp_path / "r").iterdir()} >= FILES


def test_a_report_that_was_cut_off_is_finished_even_if_the_run_fails(tmp_path: Path) -> None:
    staging = tmp_path / ".report-abcd_123"
    for name in ("new", "old"):
        (staging / name).mkdir(parents=True)
    (staging / "new" / "forecast.csv").write_text("new")
    (tmp_path / "forecast.csv").write_text("old")
    (tmp_path / "revenue.csv").write_text("new")
    moves = {"staging": staging.name, "new": ["forecast.csv", "revenue.csv"], "stale": []}
    (tmp_path / "capsule-report-unfinished.txt").write_text(f"words\n{json.dumps(moves)}\n")
    with Sandbox(account(), token="t0ken") as sandbox:
        done = invoked("capsule-report", "--base-url", sandbox.url, "--out", tmp_path, token="no")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first == f"The report in {tmp_path} had been cut off; it was finished first."
    assert second.startswith("Error: ")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "forecast.csv": "new", "revenue.csv": "new",
    }  # fmt: skip


def test_version_and_help() -> None:
    assert invoked("capsule-report", "--version").stdout.strip().endswith(ca.__version__)
    shown = invoked("capsule-report", "--help").stdout
    assert "capsule-report --sample\n" in shown
