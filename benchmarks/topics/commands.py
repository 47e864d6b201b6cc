"""Whole processes, from the shell's side: how long one waits for a report."""

from __future__ import annotations

import pickle
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import grown
from measure import BIN, Row, command, in_turn, table

import capsule_analytics as ca

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Cost

MANY = 20_000

_WRITE = """
import pickle, sys
from pathlib import Path
from capsule_analytics.report import Options, write_report
held, folder, html, projection = sys.argv[1:]
pipeline = pickle.loads(Path(held).read_bytes())
write_report(pipeline, Path(folder), Options(html=html == "yes", projection=projection == "yes"))
"""


def measure(*, heavy: bool) -> str:
    """Measure the commands, and a report on the sample account and on a large one."""
    runs = 5 if heavy else 3

    def imports() -> Cost:
        return command(sys.executable, "-c", "import pandas")

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)

        def sample(*words: str) -> Callable[[], Cost]:
            return lambda: command(
                BIN / "capsule-report", "--sample", *words, "--out", place / "out"
            )

        help_, tables, page, pandas = in_turn(
            lambda: command(BIN / "capsule-report", "--help"),
            sample("--no-projection"),
            sample("--no-projection", "--html"),
            imports,
            runs=runs,
        )
        whole, pandas_2 = in_turn(sample("--html"), imports, runs=1 + 2 * heavy, warm=False)
        held = {"sample": ca.load_sample(), "many": grown.pipeline(MANY)}
        for name, pipeline in held.items():
            (place / name).write_bytes(pickle.dumps(pipeline))

        def report(name: str, html: str, projection: str) -> Callable[[], Cost]:
            out = place / "out"
            return lambda: command(
                sys.executable, "-c", _WRITE, place / name, out, html, projection
            )

        few, many = in_turn(
            report("sample", "no", "no"), report("many", "no", "no"), runs=runs, warm=False
        )
        few_page, many_page = in_turn(
            report("sample", "yes", "no"), report("many", "yes", "no"), runs=runs, warm=False
        )
        if heavy:
            few_whole, many_whole = in_turn(
                report("sample", "yes", "yes"), report("many", "yes", "yes"), runs=1, warm=False
            )
    deals = f"a report on {MANY:,} deals"
    rows = [
        Row("capsule-report --help", help_, "import pandas", pandas, 0.35),
        Row("capsule-report --sample --no-projection", tables, "import pandas", pandas, 3.5),
        Row("the same with --html", page, "import pandas", pandas, 5),
        Row("capsule-report --sample --html", whole, "import pandas", pandas_2, 5),
        Row(f"{deals}, no projection, no page", many, "on the sample", few, 1.5),
        Row(f"{deals}, no projection, page", many_page, "on the sample", few_page, 1.5),
    ]
    if heavy:
        what = f"{deals}, projection from one load, page"
        rows.append(Row(what, many_whole, "on the sample", few_whole, 1.5))
    return table(rows)
