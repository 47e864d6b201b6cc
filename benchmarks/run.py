"""Measure what matters against a floor or a peer, in one run, as ratios.

A floor is the least that any program must do for the result, a peer what one would use instead.
Absolute times depend on the machine; a ratio of two things measured in turn hardly does. Run it
with ``make bench``: it prints the table and writes docs/performance.md.
"""

from __future__ import annotations

import gc
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from lxml import etree
from pages import v1_pages, v2_pages

import capsule_analytics as ca
from capsule_analytics.sandbox import Sandbox
from capsule_analytics.schema import DURATION_BASES

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS = 100_000
ROWS = 1_000_000
BIN = Path(sys.executable).parent
DOC = Path(__file__).parents[1] / "docs" / "performance.md"


class Row(NamedTuple):
    """One line of the table."""

    what: str
    seconds: float
    against: str
    ratio: float
    limit: str


def in_turn(*functions: Callable[[], object], runs: int = 5) -> list[float]:
    """Time functions in turn, so that a slow moment of the machine meets them all alike."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(runs):
        for function, seconds in zip(functions, times, strict=True):
            gc.collect()
            began = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - began)
    return [statistics.median(seconds) for seconds in times]


def parse() -> list[Row]:
    """Raw pages to the typed frame, against bare parsing and against pandas."""
    xml, js = v1_pages(RECORDS), v2_pages(RECORDS)
    floor, ours = in_turn(
        lambda: [len(etree.fromstring(page)) for page in xml],
        lambda: ca.opportunities_from_pages(xml),
    )
    peer, same = in_turn(
        lambda: pd.concat([pd.read_xml(io.BytesIO(page)) for page in xml]),
        lambda: ca.opportunities_from_pages(xml),
        runs=2,
    )
    json_floor, json_ours = in_turn(
        lambda: [len(json.loads(page)) for page in js],
        lambda: ca.opportunities_from_pages(js, api_version="v2"),
    )
    name = f"{RECORDS:,} records"
    return [
        Row(f"parse v1, {name}", ours, "bare etree.fromstring", ours / floor, "≤ 3.5"),
        Row(f"parse v1, {name}", same, "pandas.read_xml a page", same / peer, "≤ 0.33"),
        Row(f"parse v2, {name}", json_ours, "bare json.loads", json_ours / json_floor, "≤ 3.5"),
    ]


def load() -> list[Row]:
    """Load over loopback with six workers, against one page after the other."""
    account = json.loads(ca.sample.account_path().read_bytes())
    template = account["opportunities"][0]
    account["opportunities"] = [template | {"id": n} for n in range(1, 8801)]
    rows = []
    for milliseconds in (0, 50, 100, 150):
        with Sandbox(account, latency=milliseconds / 1000, rate_limit=10**9) as sandbox:
            for version in ("v1", "v2"):

                def run(workers: int, version: str = version, sandbox: Sandbox = sandbox) -> None:
                    with ca.CapsuleClient(
                        token=sandbox.token, base_url=sandbox.url, api_version=version
                    ) as client:
                        ca.load_pipeline(client, workers=workers)

                many, one = in_turn(lambda: run(6), lambda: run(1), runs=1)
                limit = "≤ 0.30" if milliseconds == 100 else ""
                what = f"load 88 pages over {version} at {milliseconds} ms"
                rows.append(Row(what, many, "one worker", many / one, limit))
    return rows


def all_spread(frame: pd.DataFrame) -> pd.DataFrame:
    """Make every deal an open one that is earned for long, of any basis, duration and close day."""
    generator, n = np.random.default_rng(5), len(frame)
    bases = generator.choice(["DAY", "WEEK", "MONTH", "QUARTER", "YEAR"], n)
    durations = np.where(generator.random(n) < 0.01, 600, generator.integers(1, 61, n))
    days = np.datetime64("2025-01-01", "s") + 86_400 * generator.integers(0, 3 * 365, n)
    return frame.assign(
        status=pd.Categorical.from_codes(np.zeros(n, dtype=int), ["open", "won", "lost"]),
        duration_basis=pd.Categorical(bases, categories=DURATION_BASES),
        duration=pd.array(durations, dtype="Int64"),
        expected_close=pd.DatetimeIndex(days, tz="UTC"),
        tcv=generator.lognormal(9, 1.2, n).round(2),
    )


def analyse() -> list[Row]:
    """Sum a million deals by month and as earned, and the range of ten thousand."""
    sample = ca.load_sample()
    frame = pd.concat([sample.opportunities] * (ROWS // len(sample.opportunities) + 1))
    frame = frame.iloc[:ROWS].reset_index(drop=True)
    day = sample.as_of
    floor, month, revenue = in_turn(
        frame.groupby(["currency", "status"], observed=True)["tcv"].sum,
        lambda: ca.forecast.by_month(frame, as_of=day),
        lambda: ca.forecast.revenue_schedule(frame, as_of=day),
    )
    spread = all_spread(frame)
    month_2, revenue_2 = in_turn(
        lambda: ca.forecast.by_month(spread, as_of=day),
        lambda: ca.forecast.revenue_schedule(spread, as_of=day),
    )
    generator = np.random.default_rng(5)
    tcv = generator.lognormal(9, 1.2, 10_000).round(2)
    chance = generator.integers(0, 21, 10_000) / 20

    def draws() -> None:
        won = generator.random((1000, 10_000)) < chance
        np.quantile(won @ tcv, [0.1, 0.5, 0.9])

    exact, drawn = in_turn(
        lambda: ca.risk.distribution(tcv, chance).quantile([0.1, 0.5, 0.9]), draws
    )
    return [
        Row(f"by_month, {ROWS:,} deals", month, "one pandas group-by sum", month / floor, ""),
        Row(f"revenue_schedule, {ROWS:,} deals", revenue, "by_month", revenue / month, "≤ 4"),
        Row("the same, all spread", revenue_2, "by_month", revenue_2 / month_2, "≤ 4"),
        Row("range of 10,000 deals", exact, "1,000 Monte Carlo draws", exact / drawn, "≤ 0.3 s"),
    ]


def commands() -> list[Row]:
    """Whole processes, from the shell's side."""

    def run(*args: str | Path) -> Callable[[], object]:
        return lambda: subprocess.run(args, check=True, capture_output=True)

    imports = run(sys.executable, "-c", "import pandas")
    help_, pandas_ = in_turn(run(BIN / "capsule-report", "--help"), imports)
    with tempfile.TemporaryDirectory() as folder:
        report, again = in_turn(
            run(BIN / "capsule-report", "--sample", "--out", folder), imports, runs=3
        )
    return [
        Row("capsule-report --help", help_, "import pandas", help_ / pandas_, "≤ 0.35"),
        Row("capsule-report --sample", report, "import pandas", report / again, ""),
    ]


def machine() -> str:
    """Describe the machine without naming it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, pandas {pd.__version__}, numpy {np.__version__}, "
        f"lxml {etree.__version__}"
    )


def as_table(rows: list[Row]) -> str:
    """Write the rows as a Markdown table."""
    lines = ["| what | seconds | against | ratio | limit |", "|---|---:|---|---:|---|"]
    lines += [
        f"| {row.what} | {row.seconds:.3g} | {row.against} | {row.ratio:.2f} | {row.limit} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the page of the docs between its markers."""
    rows = [*commands(), *parse(), *analyse(), *load()]
    table = as_table(rows)
    print(table)
    head, begin, rest = DOC.read_text(encoding="utf-8").partition("<!-- measured -->\n")
    _, end, tail = rest.partition("<!-- end -->")
    text = f"{machine()}.\n\n{table}\n"
    DOC.write_text(f"{head}{begin}{text}{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
