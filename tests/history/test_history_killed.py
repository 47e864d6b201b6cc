"""A run that is killed while it records leaves a store that opens, with its last whole snapshot.

A server has everything imported and nothing opened, and forks for each trial, so that a trial
does not cost the start of an interpreter.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from deals import AS_OF

from capsule_analytics import history

if TYPE_CHECKING:
    from collections.abc import Iterator

DEALS = 40
TRIALS = 50

SERVER = """
import os, sys
from dataclasses import replace
from datetime import timedelta
import duckdb, pyarrow
from capsule_analytics import history
from deals import deals

base = deals([{}] * int(sys.argv[1]))

def numbered(n):
    # Every deal changes with every snapshot, and every other snapshot lacks the first deal.
    frame = base.opportunities.iloc[n % 2 :].assign(value=float(n))
    return replace(base, opportunities=frame, loaded_at=base.loaded_at + timedelta(seconds=n))

for line in sys.stdin:
    path, n = line.split()
    child = os.fork()
    if child == 0:
        os.write(1, f"{os.getpid()}\\n".encode())
        n = int(n)
        while True:
            with history.open_store(path) as store:
                for n in range(n, n + 5):
                    store.record(numbered(n))
                    os.write(1, f"{n}\\n".encode())
            n += 1
    os.waitpid(child, 0)
    os.write(1, b"killed\\n")
"""


class Recorder:
    """Runs a program that records numbered snapshots, and kills it."""

    def __init__(self) -> None:
        paths = [str(Path(__file__).parents[1]), *sys.path]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(DEALS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )

    def run_and_kill(self, path: Path, first: int, *, wait_for: int, delay: float) -> list[int]:
        """Record from a number on, wait for so many snapshots and a while longer, then kill.

        Returns
        -------
        The numbers that the run said it had recorded.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(path, first, file=self.process.stdin, flush=True)
        child = int(self.process.stdout.readline())
        said = [int(self.process.stdout.readline()) for _ in range(wait_for)]
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        return said + [int(line) for line in iter(self.process.stdout.readline, "killed\n")]


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    running = Recorder()
    with running.process:
        yield running


def newest(path: Path, *, read_only: bool) -> int:
    """Return the number of the newest snapshot, having checked that all of it is there."""
    with history.open_store(path, read_only=read_only) as store:
        if not store.accounts():
            return -1
        log = store.snapshots()
        pipeline = store.as_of("2100-01-01")
    seconds = log["taken_at"] - pd.Timestamp(AS_OF, tz="UTC")
    numbers = (seconds // pd.Timedelta(seconds=1)).tolist()
    assert numbers == list(range(len(log)))
    number = numbers[-1]
    assert pipeline.opportunities["value"].tolist() == [number] * (DEALS - number % 2)
    assert log["deals"].tolist() == [DEALS - n % 2 for n in numbers]
    assert log["changed"].tolist() == log["deals"].tolist()  # nothing was there half
    assert log["deleted"].tolist() == [n % 2 for n in numbers]
    return number


def test_killed_at_random_moments(recorder: Recorder, tmp_path: Path) -> None:
    chance = random.Random(15)  # noqa: S311 - moments, no secrets
    path = tmp_path / "history.duckdb"
    last, recorded = -1, 0
    for trial in range(TRIALS):
        said = recorder.run_and_kill(
            path, last + 1, wait_for=chance.randrange(4), delay=chance.uniform(0, 0.04)
        )
        surely = said[-1] if said else last
        recorded += len(said)
        if not path.exists():
            assert surely == -1
            continue
        found = newest(path, read_only=trial % 2 == 0)
        assert found in {surely, surely + 1}  # killed between committing and saying so
        last = found
    assert recorded > TRIALS  # or nothing was tried


def test_killed_while_the_store_is_made(recorder: Recorder, tmp_path: Path) -> None:
    opened = 0
    for trial in range(12):
        path = tmp_path / f"{trial}.duckdb"
        said = recorder.run_and_kill(path, 0, wait_for=0, delay=0.004 * trial)
        assert not said or path.exists()
        with history.open_store(path):  # whole, or not there and made anew
            opened += 1
        assert newest(path, read_only=False) in {-1, *said, len(said)}
    assert opened == 12
