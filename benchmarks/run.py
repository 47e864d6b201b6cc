"""Measure what matters, against floors and peers, and write docs/performance.md.

A floor is the least that any program must do for the result, a peer what one would use instead.
Without topics all are measured, in about six minutes; ``--heavy`` adds what takes long: a million
deals, fifty million rows, Dask, and the peers of a load. Each topic replaces its own section of the
page and leaves the others. Peers that are not installed are skipped, and the page says so.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import lxml
import numpy as np
import orjson
import pandas as pd
from topics import analyse, commands, engines, growth, load, parse, projection, rate_limit

if TYPE_CHECKING:
    from types import ModuleType

DOC = Path(__file__).parents[1] / "docs" / "performance.md"
TOPICS: dict[str, ModuleType] = {
    "commands": commands,
    "parse": parse,
    "load": load,
    "rate_limit": rate_limit,
    "analyse": analyse,
    "engines": engines,
    "projection": projection,
    "growth": growth,
}


def machine() -> str:
    """Describe the machine without naming it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured on {date.today()}, {os.cpu_count()} cores, {memory:.0f} GiB, "  # noqa: DTZ011
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, pandas "
        f"{pd.__version__}, numpy {np.__version__}, lxml {lxml.__version__}, orjson "
        f"{orjson.__version__}; other programs kept {os.getloadavg()[0]:.1f} of the cores busy."
    )


def main() -> None:
    """Measure, print, and write each section of the page between its markers."""
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("topics", nargs="*", metavar="TOPIC", help=", ".join(TOPICS))
    asked.add_argument("--heavy", action="store_true", help="what takes long, too")
    asked.add_argument("--print-only", action="store_true", help="leave the page as it is")
    chosen = asked.parse_args()
    if unknown := set(chosen.topics) - TOPICS.keys():
        asked.error(f"no topic {min(unknown)!r}; there are {', '.join(TOPICS)}")
    for topic in chosen.topics or TOPICS:
        about, began = machine(), time.perf_counter()
        text = f"{TOPICS[topic].measure(heavy=chosen.heavy)}\n\n{about}"
        print(f"\n## {topic}, in {time.perf_counter() - began:.0f} s\n\n{text}")
        sys.stdout.flush()
        if not chosen.print_only:
            _write(topic, text)


def _write(topic: str, text: str) -> None:
    head, begin, rest = DOC.read_text(encoding="utf-8").partition(f"<!-- {topic} -->\n")
    _, end, tail = rest.partition(f"<!-- end {topic} -->")
    if not end:
        raise SystemExit(f"{DOC} has no section {topic}")
    DOC.write_text(f"{head}{begin}{text}\n{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
