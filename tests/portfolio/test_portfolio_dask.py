"""A real Dask cluster of two worker processes: the same figures, also when a worker dies."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
import warnings
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.dataframe as dd
import pandas as pd
import pytest
from commands import command, invoked
from deals import AS_OF
from distributed import Client, LocalCluster
from grown_group import exported, grown_group

import capsule_analytics as ca
from capsule_analytics import forecast, history
from capsule_analytics.errors import ArgumentError, TransportError
from capsule_analytics.portfolio import Portfolio
from capsule_analytics.portfolio import _files as _portfolio_files
from capsule_analytics.portfolio import _read as _portfolio_read

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNTS = 30


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with warnings.catch_warnings():
        # A killed worker leaves sockets and loops to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        with LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as running:
            yield running


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portfolio")
    with history.open_store(folder / "history.duckdb") as store:
        store.record(replace(ca.load_sample(), account="a0"))
        (file,) = store.export_parquet(folder / "export")
    for n in range(1, ACCOUNTS):
        copy = folder / "export" / f"account=a{n}" / file.parent.name / file.name
        copy.parent.mkdir(parents=True)
        shutil.copy(file, copy)
    return folder / "export"


def load(flag: Path, frame: pd.DataFrame, number: int) -> pd.DataFrame:
    """Give a partition; the first time that the fourth is asked for, its worker dies."""
    if number == 3 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return frame[frame.index % 8 == number]


@pytest.mark.parametrize("function", [forecast.by_month, forecast.revenue_schedule])
def test_a_worker_that_dies_with_a_partition(
    function: Any, cluster: LocalCluster, tmp_path: Path
) -> None:
    flag = tmp_path / "died"
    frame = ca.load_sample().opportunities.drop(columns=["tags", "fields"])
    parts = dd.from_map(partial(load, flag, frame), range(8), meta=frame.iloc[:0])
    with Client(cluster):
        table = function(parts, by="owner", as_of=AS_OF)
    assert flag.exists(), "no worker was killed"
    whole = function(frame, by="owner", as_of=AS_OF)
    pd.testing.assert_frame_equal(table, whole, check_exact=True)


def test_a_portfolio_on_the_cluster(
    cluster: LocalCluster, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_portfolio_files, "_BATCH_ACCOUNTS", 10)
    portfolio = Portfolio(export)
    for function in (
        portfolio.by_month,
        partial(portfolio.by_month, by=None, ranges=True),
        portfolio.revenue_schedule,
        partial(portfolio.changes, date(2026, 12, 31)),
    ):
        here, there = function(), function(scheduler=cluster.scheduler_address)
        pd.testing.assert_frame_equal(here, there, check_exact=True)


def test_the_command_on_the_cluster(cluster: LocalCluster, export: Path, tmp_path: Path) -> None:
    """The files are those that DuckDB gives."""
    folders = tmp_path / "here", tmp_path / "there"
    engines: tuple[tuple[str, ...], ...] = (), ("--scheduler", cluster.scheduler_address)
    for folder, engine in zip(folders, engines, strict=True):
        done = invoked("capsule-report", "--portfolio", export, "--no-ranges", "--period", "year",
                       "--no-projection", "--changes-since", "2026-12-31", *engine,
                       "--out", folder)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
    here, there = ({file.name: file.read_bytes() for file in f.iterdir()} for f in folders)
    assert here == there
    assert len(here) == 14  # ten tables, three charts and the list of what was written


def test_a_worker_killed_while_it_reads_the_portfolio(
    cluster: LocalCluster, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    portfolio = Portfolio(export)
    wanted = portfolio.by_month()
    monkeypatch.setattr(_portfolio_files, "_BATCH_ACCOUNTS", 1)
    killed = []

    def kill_one_that_works() -> None:
        with Client(cluster, set_as_default=False) as client:
            workers = client.run(os.getpid)
            while not killed:
                busy = [name for name, tasks in client.processing().items() if tasks]
                if busy:
                    os.kill(workers[busy[0]], signal.SIGKILL)
                    killed.append(busy[0])
                time.sleep(0.005)

    killer = threading.Thread(target=kill_one_that_works)
    killer.start()
    try:
        table = portfolio.by_month(scheduler=cluster.scheduler_address)
        assert killed, "the run ended before a worker was killed"
    finally:
        killed.append("no more")
        killer.join()
    pd.testing.assert_frame_equal(table, wanted, check_exact=True)


def test_an_account_is_left_out_on_the_cluster_too(
    cluster: LocalCluster, export: Path, tmp_path: Path
) -> None:
    shutil.copytree(export, tmp_path / "export")
    (broken,) = (tmp_path / "export" / "account=a7").rglob("*.parquet")
    broken.write_bytes(b"PAR1 and no more")
    table = Portfolio(tmp_path / "export", on_error="skip").by_month(
        scheduler=cluster.scheduler_address
    )
    assert table.attrs["accounts"] == ACCOUNTS - 1
    assert [found["account"] for found in table.attrs["left_out"]] == ["a7"]


@pytest.mark.parametrize(
    "scheduler",
    ["nonsense", "tcp://host", "tcp://:8786", "tcp://host:port", "foo://host:8786", 8786],
)
def test_what_is_no_address_of_a_scheduler_is_refused(export: Path, scheduler: Any) -> None:
    with pytest.raises(ArgumentError, match=r"tcp://host:port or tls://host:port, not"):
        Portfolio(export).by_month(scheduler=scheduler)


def test_a_wrong_address_leaves_nothing_to_fail_later(export: Path, tmp_path: Path) -> None:
    done = command(
        "capsule-report", "--portfolio", export, "--out", tmp_path / "report",
        "--scheduler", "nonsense",
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Error: a scheduler's address is tcp://host:port")
    assert done.stderr.count("\n") == 1


def test_a_scheduler_that_is_not_there(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_portfolio_read, "_PATIENCE", 0.5)
    with pytest.raises(TransportError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        Portfolio(export).by_month(scheduler="tcp://127.0.0.1:9")


def test_the_projection_of_a_portfolio_on_the_cluster(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    portfolio = Portfolio(exported(grown_group(3, 4, seed=7), tmp_path / "export"))
    here = portfolio.project(months=1)
    there = portfolio.project(months=1, scheduler=cluster.scheduler_address)
    for one, other in ((here.by_month(), there.by_month()), (here.total(), there.total())):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
