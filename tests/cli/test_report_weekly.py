"""One command a week: load once, record, compare with the last snapshot, learn from all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pandas as pd
import pytest
from commands import NO_CHARTS, invoked
from sandbox_account import account

from capsule_analytics import CapsuleClient, history
from capsule_analytics.errors import ArgumentError
from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "t0ken-of-acme"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(account(), token=TOKEN) as running:
        yield running


def report(sandbox: Sandbox, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Report with a store of the test's own."""
    done = invoked(
        "capsule-report", "--base-url", sandbox.url, "--store", folder / "history.duckdb",
        *NO_CHARTS, *args, token=TOKEN, cwd=folder,
    )  # fmt: skip
    assert TOKEN not in done.stdout + done.stderr
    return done


def a_week_passes(store: Path) -> None:
    """Date everything that is recorded back."""
    with duckdb.connect(str(store)) as connection:
        for table, column in (
            ("snapshots", "taken_at"), ("opportunities", "valid_from"), ("milestones", "valid_from")
        ):  # fmt: skip
            connection.execute(f"UPDATE {table} SET {column} = {column} - INTERVAL 6 DAY")  # noqa: S608


def kinds(store: Path) -> list[str]:
    with history.open_store(store, read_only=True) as opened:
        return opened.snapshots()["kind"].tolist()


def test_the_second_week_loads_what_changed_and_shows_it(sandbox: Sandbox, tmp_path: Path) -> None:
    store = tmp_path / "history.duckdb"
    done = report(sandbox, tmp_path, "--snapshot")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "report" / "changes.csv").exists(), "there is nothing to compare with"
    a_week_passes(store)

    sandbox.account.update(101, {"value": {"amount": 1500, "currency": "GBP"}})
    before = len(sandbox.requests)
    done = report(sandbox, tmp_path, "--snapshot")
    assert done.returncode == 0, done.stderr
    assert kinds(store) == ["full", "incremental"]
    asked = list(sandbox.requests)[before:]
    lists = [one.query for one in asked if one.path == "/api/v2/opportunities"]
    assert all("since" in query or query["perPage"] == "1" for query in lists), "no whole list"
    deals = pd.read_csv(tmp_path / "report" / "opportunities.csv").set_index("id")
    assert len(deals) == 6
    assert deals.loc[101, "value"] == 1500
    changed = pd.read_csv(tmp_path / "report" / "changed_deals.csv")
    assert changed["opportunity_id"].tolist() == [101]
    assert (tmp_path / "report" / "projection.csv").exists()


def test_an_account_that_did_not_change_costs_few_requests(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """The pipelines with and without the deleted, milestones of two, changes twice, the count."""
    assert report(sandbox, tmp_path, "--snapshot", "--no-projection").returncode == 0
    a_week_passes(tmp_path / "history.duckdb")
    before = len(sandbox.requests)
    assert report(sandbox, tmp_path, "--snapshot", "--no-projection").returncode == 0
    assert len(sandbox.requests) - before == 9


def test_everything_is_read_where_the_count_disagrees(sandbox: Sandbox, tmp_path: Path) -> None:
    """A deal that goes without the deleted list saying so is not kept for ever."""
    store = tmp_path / "history.duckdb"
    assert report(sandbox, tmp_path, "--snapshot", "--no-projection").returncode == 0
    a_week_passes(store)
    sandbox.account.delete(105)
    sandbox.account.deleted.clear()
    done = report(sandbox, tmp_path, "--snapshot", "--no-projection")
    assert done.returncode == 0, done.stderr
    assert kinds(store) == ["full", "full"]
    assert 105 not in pd.read_csv(tmp_path / "report" / "opportunities.csv")["id"].tolist()


def test_a_store_that_is_there_is_compared_with_unasked(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing is recorded without ``--snapshot``, and a selection is compared with nothing."""
    store = tmp_path / "history.duckdb"
    done = invoked("capsule-snapshot", "--base-url", sandbox.url, "--store", store, token=TOKEN)
    assert done.returncode == 0, done.stderr
    a_week_passes(store)
    sandbox.account.update(101, {"value": {"amount": 1500, "currency": "GBP"}})
    assert report(sandbox, tmp_path, "--no-projection").returncode == 0
    assert (tmp_path / "report" / "changes.csv").exists()
    assert kinds(store) == ["full"]
    assert report(sandbox, tmp_path, "--no-projection", "--owner", "sarah").returncode == 0
    assert not (tmp_path / "report" / "changes.csv").exists()


def test_a_store_of_another_account_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    with history.open_store(tmp_path / "history.duckdb") as store:
        store.record(history.sample_history()[0])
    done = report(sandbox, tmp_path, "--no-projection")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Without snapshots: ")
    assert done.stderr.count("\n") == 1


def test_a_run_that_fails_after_recording_leaves_what_it_recorded(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "report").write_text("a file")
    out = tmp_path / "report" / "inside"
    done = report(sandbox, tmp_path, "--snapshot", "--no-projection", "--out", str(out))
    assert (done.returncode, done.stderr) == (1, f"Error: {out}: Not a directory\n")
    assert kinds(tmp_path / "history.duckdb") == ["full"]


def test_without_arguments_three_lines_say_what_to_try(tmp_path: Path) -> None:
    done = invoked("capsule-report", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.split()[1] for line in lines] == ["--sample", "--account", "--init"]


def test_a_configuration_that_records_leaves_the_sample_alone(tmp_path: Path) -> None:
    (tmp_path / "capsule.toml").write_text('snapshot = true\nstore = "s.duckdb"\n')
    done = invoked("capsule-report", "--sample", "--no-projection", *NO_CHARTS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "s.duckdb").exists()
    assert (tmp_path / "report" / "forecast.csv").exists(), "the folder's default name"


def test_a_token_of_another_account_is_told(sandbox: Sandbox) -> None:
    """Over API v2 the token alone says whose deals are answered."""
    with CapsuleClient("acme", TOKEN, base_url=sandbox.url) as right:
        right.check_account()
    with (
        CapsuleClient("beta", TOKEN, base_url=sandbox.url) as wrong,
        pytest.raises(ArgumentError, match="of the account 'acme', not of 'beta'"),
    ):
        wrong.check_account()
