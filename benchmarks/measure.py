"""What all benchmarks share: measuring in turn, in this process or in one of its own, and tables.

Every repetition does the whole work. Rivals are measured in turn, so that a slow moment of the
machine meets them all alike. Of the repetitions the median is shown with the least and the most,
and beside the time on the clock that of the processors, which other programs hardly disturb.
"""

from __future__ import annotations

import gc
import os
import pickle
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BIN = Path(sys.executable).parent


class Cost(NamedTuple):
    """What one repetition took: seconds on the clock and of processors, and bytes at the peak."""

    seconds: float
    cpu: float
    peak: float = float("nan")


@dataclass(frozen=True)
class Timed:
    """All repetitions of one thing."""

    costs: Sequence[Cost]

    @property
    def seconds(self) -> float:
        """The median on the clock."""
        return statistics.median(cost.seconds for cost in self.costs)

    @property
    def cpu(self) -> float:
        """The median of the processors."""
        return statistics.median(cost.cpu for cost in self.costs)

    @property
    def least(self) -> float:
        """The quickest repetition."""
        return min(cost.seconds for cost in self.costs)

    @property
    def most(self) -> float:
        """The slowest repetition."""
        return max(cost.seconds for cost in self.costs)

    @property
    def peak(self) -> float:
        """The most bytes at a time, NaN where it was not measured."""
        return max(cost.peak for cost in self.costs)

    @property
    def spread(self) -> str:
        """The median, the least and the most, in words."""
        if len(self.costs) == 1:
            return f"{self.seconds:.3g}"
        return f"{self.seconds:.3g} ({self.least:.3g} to {self.most:.3g})"


class Row(NamedTuple):
    """One line of a table: a thing against another, and what it should reach.

    Attributes
    ----------
    what
        The thing.
    ours
        What it took.
    against
        What it is measured against, "" where the goal is in seconds.
    floor
        What that took.
    most
        The goal: the largest ratio of the two, or seconds if `against` is empty. None for none.
    """

    what: str
    ours: Timed
    against: str = ""
    floor: Timed | None = None
    most: float | None = None


def one(function: Callable[[], object]) -> Cost:
    """Measure a function once, in this process; one that returns a `Cost` has measured itself."""
    gc.collect()
    began, cpu = time.perf_counter(), time.process_time()
    found = function()
    cost = Cost(time.perf_counter() - began, time.process_time() - cpu)
    return found if isinstance(found, Cost) else cost


def in_turn(*functions: Callable[[], object], runs: int = 5, warm: bool = True) -> list[Timed]:
    """Measure functions in turn.

    Parameters
    ----------
    *functions
        What to measure.
    runs
        How often each.
    warm
        Whether each runs once before, uncounted, so that nothing is imported while it is measured.
    """
    if warm:
        for function in functions:
            function()
    rounds = [[one(function) for function in functions] for _ in range(runs)]
    return [Timed(costs) for costs in zip(*rounds, strict=True)]


def command(*words: str | Path, env: Mapping[str, str] | None = None) -> Cost:
    """Run a command, and tell what it and its children took."""
    began = time.perf_counter()
    running = subprocess.Popen(
        [str(word) for word in words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    assert running.stderr is not None
    said = running.stderr.read()
    _, status, used = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise SystemExit(f"{words} failed: {said.decode(errors='replace')}")
    seconds = time.perf_counter() - began
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def apart(function: Callable[..., object], *given: Any) -> tuple[Cost, Any]:  # noqa: ANN401
    """Run a function of a module in a process of its own, where its peak memory is its own.

    Parameters
    ----------
    function
        It measures what counts with `within`, and returns it with something to compare.
    *given
        Arguments, which can be pickled.
    """
    code = (
        "import pickle, sys; from importlib import import_module;"
        "name, function, given = pickle.load(sys.stdin.buffer);"
        "found = getattr(import_module(name), function)(*given);"
        "sys.stdout.buffer.write(b'\\0measured\\0' + pickle.dumps(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((function.__module__, function.__name__, given)),
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    found: tuple[Cost, Any] = pickle.loads(done.stdout.partition(b"\0measured\0")[2])
    return found


def within(function: Callable[[], Any]) -> tuple[Cost, Any]:
    """Measure a function in a process made for it: what it takes beyond what was there before."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    before = _memory("VmRSS")
    began, cpu = time.perf_counter(), time.process_time()
    found = function()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Cost(seconds, cpu, _memory("VmHWM") - before), found


def _memory(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


def table(rows: Sequence[Row]) -> str:
    """Write rows as a Markdown table."""
    lines = [
        (
            "| what | seconds (least to most) | of processors | against | its seconds "
            "| of processors | ratio | of processors | goal | |"
        ),
        "|---|---:|---:|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        floor, cpu, ratio, ratio_cpu, reached = "", "", "", "", ""
        figure = row.ours.seconds
        if row.floor is not None:
            figure = row.ours.seconds / row.floor.seconds
            floor, cpu, ratio = row.floor.spread, f"{row.floor.cpu:.3g}", f"{figure:.2f}"
            ratio_cpu = f"{row.ours.cpu / row.floor.cpu:.2f}"
        if row.most is not None:
            reached = "reached" if figure <= row.most else "**missed**"
        unit = "" if row.floor is not None else " s"
        goal = "" if row.most is None else f"≤ {row.most:g}{unit}"
        lines.append(
            f"| {row.what} | {row.ours.spread} | {row.ours.cpu:.3g} | {row.against} | {floor} | "
            f"{cpu} | {ratio} | {ratio_cpu} | {goal} | {reached} |"
        )
    return "\n".join(lines)


def same(name: str, *figures: float, within_cents: float = 0.5) -> None:
    """Insist that all who are measured come to the same figure."""
    if max(figures) - min(figures) > within_cents / 100:
        raise SystemExit(f"{name}: the figures differ, {figures}")
