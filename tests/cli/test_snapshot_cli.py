"""``capsule-snapshot`` of one account, as a user's shell sees it."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow.parquet as pq
import pytest
from commands import command, invoked
from sandbox_account import account

from capsule_analytics import CapsuleClient, history
from capsule_analytics.cli import _recording
from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOKEN = "t0ken-of-acme"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(account(), token=TOKEN) as running:
        yield running


def snapshot(
    store: Path, *args: str | Path, token: str | None = TOKEN, under: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    args = ("capsule-snapshot", "--store", store, *args)
    done = command(*args, token=token, under=under) if under else invoked(*args, token=token)
    assert "Traceback" not in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return done


def taken(store: Path) -> list[tuple[str, int, int, int]]:
    """List the snapshots: kind, deals, changed, deleted."""
    with history.open_store(store, read_only=True) as opened:
        table = opened.snapshots()[["kind", "deals", "changed", "deleted"]]
        return list(table.itertuples(index=False, name=None))


def test_first_everything_then_what_changed(sandbox: Sandbox, tmp_path: Path) -> None:
    store = tmp_path / "history.duckdb"
    done = snapshot(store, "--base-url", sandbox.url)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "(full): 6 deals, 6 new or changed, 0 deleted" in done.stdout

    sandbox.account.update(101, {"value": {"amount": 1500, "currency": "GBP"}})
    sandbox.account.delete(105)
    done = snapshot(store, "--base-url", sandbox.url)
    assert "(incremental): 5 deals, 1 new or changed, 1 deleted" in done.stdout
    assert snapshot(store, "--base-url", sandbox.url).returncode == 0
    assert taken(store) == [("full", 6, 6, 0), ("incremental", 5, 1, 1), ("incremental", 5, 0, 0)]
    with history.open_store(store, read_only=True) as opened:
        now = opened.as_of(datetime.now(UTC) + timedelta(seconds=1))
    assert now.opportunities["value"].to_dict()[101] == 1500.0
    assert 105 not in now.opportunities.index

    assert "(full)" in snapshot(store, "--base-url", sandbox.url, "--full").stdout
    assert taken(store)[-1] == ("full", 5, 0, 0)


def test_several_snapshots_in_one_second_of_the_servers_clock(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    how = _recording.Loading(full=False, full_every=7, workers=2, resume=False)
    with (
        history.open_store(tmp_path / "history.duckdb") as store,
        CapsuleClient(token=TOKEN, base_url=sandbox.url) as client,
    ):
        for amount in (1500, 1600, 1700):
            sandbox.account.update(101, {"value": {"amount": amount, "currency": "GBP"}})
            name = _recording.record(store, client, how)
        values = [day.opportunities["value"].to_dict()[101] for day in store.pipelines(name)]
    assert values == [1500, 1600, 1700]


def test_everything_again_after_so_many_days(sandbox: Sandbox, tmp_path: Path) -> None:
    store = tmp_path / "history.duckdb"
    snapshot(store, "--base-url", sandbox.url)
    with duckdb.connect(str(store)) as connection:
        for table, column in (
            ("snapshots", "taken_at"), ("opportunities", "valid_from"), ("milestones", "valid_from")
        ):  # fmt: skip
            connection.execute(f"UPDATE {table} SET {column} = {column} - INTERVAL 2 DAY")  # noqa: S608
    snapshot(store, "--base-url", sandbox.url, "--full-every", "3")
    snapshot(store, "--base-url", sandbox.url, "--full-every", "1")
    assert [kind for kind, *_ in taken(store)] == ["full", "incremental", "full"]


def test_days_that_no_calendar_has_are_wrong_usage(tmp_path: Path) -> None:
    done = snapshot(tmp_path / "h.duckdb", "--account", "acme", "--full-every", "9" * 30)
    assert done.returncode == 2
    assert "--full-every" in done.stderr


def test_another_milestone_configuration_loads_everything(tmp_path: Path) -> None:
    """A milestone's probability is that of its deals, which have not changed themselves."""
    store = tmp_path / "history.duckdb"
    first = account()
    with Sandbox(first, token=TOKEN) as sandbox:
        snapshot(store, "--base-url", sandbox.url)
        port = int(sandbox.url.rpartition(":")[2])
    other = account()
    other["milestones"][0]["probability"] = 15
    with Sandbox(other, token=TOKEN, port=port) as sandbox:
        snapshot(store, "--base-url", sandbox.url)
    assert [kind for kind, *_ in taken(store)] == ["full", "full"]


def test_the_sample_and_its_parquet(tmp_path: Path) -> None:
    store = tmp_path / "history.duckdb"
    done = snapshot(store, "--sample", "--export", tmp_path / "export", token=None)
    assert done.returncode == 0, done.stderr
    assert "Parquet: 19 files" in done.stdout
    (newest,) = (tmp_path / "export").glob("account=*/day=2026-10-15/part.parquet")
    assert pq.read_metadata(newest).num_rows == 602
    before = taken(store)
    snapshot(store, "--sample", token=None)
    assert taken(store) == before


def test_the_sample_goes_into_no_store_of_real_accounts(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    done = invoked("capsule-snapshot", "--sample", **home)
    assert done.returncode == 2
    assert "--sample needs --store with a file of its own" in done.stderr
    # The store of the configuration is one of real accounts.
    config = tmp_path / "a.toml"
    config.write_text(f'account = "acme"\nstore = "{tmp_path / "real.duckdb"}"\n')
    done = invoked("capsule-snapshot", "--sample", "--config", config, **home)
    assert done.returncode == 2
    assert [file.name for file in tmp_path.iterdir()] == ["a.toml"]


def test_a_store_that_another_process_writes(tmp_path: Path) -> None:
    store = tmp_path / "history.duckdb"
    with history.open_store(store):
        done = command("capsule-snapshot", "--store", store, "--sample")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert str(store) in done.stderr


def without_roots_rights() -> list[str]:
    """Return what to run a command under so that a locked folder is locked for root too."""
    if os.name != "posix":
        pytest.skip("folders are locked by their mode, which is POSIX's")
    if os.geteuid() != 0:
        return []
    under = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*under, "true"], check=False).returncode:
        pytest.skip("root may write anywhere, and cannot give that up here")
    return under


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    done = snapshot(locked / "history.duckdb", "--sample", token=None, under=without_roots_rights())
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert str(locked) in done.stderr
    assert not list(locked.iterdir())


def test_a_place_where_no_store_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = snapshot(tmp_path / "file" / "history.duckdb", "--sample", token=None)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_a_wrong_token_and_none(sandbox: Sandbox, tmp_path: Path) -> None:
    store = tmp_path / "history.duckdb"
    done = snapshot(store, "--base-url", sandbox.url, token="wrong-t0ken")
    assert done.returncode == 1
    assert ".." not in done.stderr
    assert ". The server does not know the token" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "wrong-t0ken" not in done.stderr
    done = snapshot(store, "--base-url", sandbox.url, token=None)
    assert done.returncode == 2
    assert "CAPSULE_TOKEN" in done.stderr
