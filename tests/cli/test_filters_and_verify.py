"""Which deals a report is about, and its sums beside those that Capsule adds up."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from capsule_analytics.cli._report import report
from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(*words: str) -> Result:
    return CliRunner().invoke(report, list(words), catch_exceptions=False)


def test_deals_of_a_pipeline_a_team_and_several_statuses(tmp_path: Path) -> None:
    out = tmp_path / "out"
    chosen = ["--pipeline", "Sales", "--team", "Home accounts", "--status", "open"]
    done = run("--sample", *chosen, "--status", "won", "--out", str(out))
    assert done.exit_code == 0, done.output
    with (out / "opportunities.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = {(row["pipeline"], row["team"], row["status"]) for row in rows}
    assert kept == {("Sales", "Home accounts", status) for status in ("open", "won")}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--sample", "--verify"), "--verify asks a live account"),
        (("--account", "acme", "--verify", "--team", "North"), "not a selection"),
        (("--account", "acme", "--changes-since", "2026-01-01", "--status", "open"), "selection"),
    ],
)
def test_what_cannot_be_compared_is_refused(words: tuple[str, ...], says: str) -> None:
    done = run(*words, "--out", "out")
    assert done.exit_code == 2
    assert says in done.output


def test_both_sides_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox converts every sum to pounds, so only those in pounds can be compared."""
    with Sandbox() as sandbox:
        monkeypatch.setenv("CAPSULE_TOKEN", sandbox.token)
        done = run("--base-url", sandbox.url, "--verify", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if "difference" in line]
    assert any("GBP open value: ours " in line and "Capsule GBP" in line for line in lines)
    assert all("not comparable" in line for line in lines if "EUR" in line.partition(":")[0])
    assert "      1598 probability_out_of_range: 150 %" in done.output.splitlines()
