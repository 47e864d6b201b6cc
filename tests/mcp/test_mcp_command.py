"""``capsule-mcp``: where its figures come from, when they are loaded again, what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import invoked
from deals import deals
from sandbox_account import account

from capsule_analytics import cli, history
from capsule_analytics.cli import _mcp
from capsule_analytics.errors import AuthenticationError, HistoryError
from capsule_analytics.mcp import Analyst
from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "t0ken-of-acme"
DAYS = {
    date(2026, 8, 31): [{"name": "Alpha", "value": 700}],
    date(2026, 9, 30): [{"name": "Alpha", "value": 1000}],
    date(2026, 10, 15): [{"name": "Alpha", "value": 1500}, {"name": "Beta", "value": 20}],
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with history.open_store(tmp_path / "history.duckdb") as opened:
        for day, rows in DAYS.items():
            opened.record(deals(rows, as_of=day))
        return opened.path


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(account(), token=TOKEN) as running:
        yield running


def source(*words: str | Path) -> _mcp.CurrentFigures:
    context = cli.mcp.make_context("capsule-mcp", [str(word) for word in words])
    return _mcp.CurrentFigures(_mcp._args(dict(context.params)))


def test_the_newest_snapshot_answers_without_a_network(store: Path) -> None:
    asked = source("--from-store", "--store", store)
    asked.check()
    analyst = Analyst(asked)
    answer = analyst.changes()
    assert answer["source"] == "the newest snapshot in the store"
    assert answer["as_of"] == "2026-10-15"
    assert answer["compared_with"] == "2026-09-30"
    assert {row["part"]: row["value"] for row in answer["bridge"]} == {
        "opening": 1000,
        "new": 20,
        "value_up": 500,
        "closing": 1520,
    }
    assert "3 snapshots" in answer["how_sure"]["evidence"]
    earlier = analyst.changes(since="2026-09-12")
    assert earlier["compared_with"] == "2026-08-31"
    assert earlier["bridge"][0]["value"] == 700
    with pytest.raises(HistoryError, match="not before 2026-10-15"):
        analyst.changes(since="2026-10-15")


def test_a_store_of_several_accounts_asks_which(store: Path) -> None:
    other = replace(deals([{"name": "Other", "value": 1}]), account="other")
    with history.open_store(store) as opened:
        opened.record(other)
    with pytest.raises(HistoryError, match="2 accounts; say which with --account"):
        source("--from-store", "--store", store).check()
    source("--from-store", "--store", store, "--account", "other").check()


def test_a_live_account_is_loaded_once_and_again_when_that_is_old(
    sandbox: Sandbox, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSULE_TOKEN", TOKEN)
    asked = source("--base-url", sandbox.url, "--store", store, "--max-age", "5")
    asked.check()
    first = asked.figures()
    assert asked.figures() is first
    sandbox.account.delete(105)
    assert 105 in asked.figures().pipeline.opportunities.index
    asked._loaded = -math.inf
    assert 105 not in asked.figures().pipeline.opportunities.index


def test_a_load_that_fails_is_told_and_nothing_old_is_shown(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSULE_TOKEN", "another-t0ken")
    analyst = Analyst(source("--base-url", sandbox.url))
    with pytest.raises(AuthenticationError) as caught:
        analyst.forecast()
    assert "another-t0ken" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "give one of --sample, --account and --base-url"),
        (["--sample", "--account", "acme"], "give one of"),
        (["--account", "acme"], "no token: set CAPSULE_TOKEN or give --token-file"),
        (["--sample", "--from-store"], "--from-store is of no use with --sample"),
        (["--from-store", "--as-of", "2026-10-15"], "not --as-of"),
        (["--sample", "--rates", __file__], "--rates is of no use without --home-currency"),
        (["--sample", "--store", "x"], "--store is of no use with --sample"),
        (["--sample", "--max-age", "0"], "--max-age"),
        (["--sample", "--targets", "capsule"], "asks a live account for its goals"),
        (["--from-store", "--targets", "capsule"], "asks a live account for its goals"),
        (["--token", "x"], "No such option"),
    ],
)
def test_wrong_usage_ends_before_the_first_word_of_protocol(
    words: list[str], told: str, tmp_path: Path
) -> None:
    done = invoked("capsule-mcp", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_a_store_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    done = invoked("capsule-mcp", "--from-store", "--store", tmp_path / "none.duckdb")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_options_may_stand_in_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "capsule.toml"
    file.write_text("sample = true\nmax-age = 5\nhtml = true\n", encoding="utf-8")
    context = cli.mcp.make_context("capsule-mcp", ["--config", str(file)])
    assert (context.params["sample"], context.params["max_age"]) == (True, 5)


def test_an_account_that_the_store_does_not_know_is_told(store: Path) -> None:
    with pytest.raises(HistoryError, match="nobody"):
        source("--from-store", "--store", store, "--account", "nobody").check()
