"""Measure how the forecast grows with the rows: DuckDB on one machine, Dask on two workers.

Rows are generated as Parquet, a million a file, in the layout of an export. Each measurement runs
in a process of its own, whose peak memory the system tells. Run it with
``python benchmarks/portfolio.py``: it prints the tables and writes them into docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

DOC = Path(__file__).parents[1] / "docs" / "performance.md"
MILLIONS = (1, 5, 25, 50)
FILE_ROWS = 1_000_000
AS_OF = date(2026, 10, 15)


def write(folder: Path, files: int) -> None:
    """Write files of a million opportunities each, an account a file."""
    for number in range(files):
        draw = np.random.default_rng(number)
        status = draw.choice(["open", "won", "lost"], FILE_ROWS, p=[0.4, 0.35, 0.25])
        days = (draw.integers(-900, 700, FILE_ROWS) + np.datetime64(AS_OF, "D")).astype("M8[D]")
        value = draw.lognormal(9, 1.2, FILE_ROWS).round(2)
        closed = pa.array(days, mask=status == "open")
        table = pa.table(
            {
                "id": pa.array(np.arange(FILE_ROWS)),
                "name": pa.array([f"Opportunity {n % 5000}" for n in range(FILE_ROWS)]),
                "currency": draw.choice(["GBP", "EUR", "USD", "CHF"], FILE_ROWS),
                "value": value,
                "duration_basis": pa.array(["FIXED"] * FILE_ROWS),
                "duration": pa.nulls(FILE_ROWS, pa.int64()),
                "expected_close": days,
                "closed_at": closed,
                "probability": draw.integers(1, 20, FILE_ROWS) / 20,
                "owner": draw.choice([f"user{n}" for n in range(12)], FILE_ROWS),
                "tcv": value,
                "status": status,
            }
        )
        place = folder / f"account=a{number:03}" / f"day={AS_OF}"
        place.mkdir(parents=True)
        pq.write_table(table, place / "part.parquet")


def measured(engine: str, folder: Path, files: int) -> dict[str, Any]:
    """Sum some of the files by month, in this process, and say how long and how much it took."""
    from capsule_analytics import forecast  # noqa: PLC0415

    paths = [str(path) for path in sorted(folder.glob("*/*/*.parquet"))[:files]]
    if engine == "duckdb":
        import duckdb  # noqa: PLC0415

        began = time.perf_counter()
        with duckdb.connect() as connection:
            connection.execute("SET preserve_insertion_order = false")
            table = forecast.by_month(connection.read_parquet(paths), as_of=AS_OF)
    elif engine == "pandas":
        columns = [
            "currency", "expected_close", "closed_at", "probability", "tcv", "status",
        ]  # fmt: skip
        frame = _typed(pd.concat([pd.read_parquet(path, columns=columns) for path in paths]))
        began = time.perf_counter()
        table = forecast.by_month(frame, as_of=AS_OF)
    else:
        table, began = _on_dask(engine, paths, folder)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    check = round(float(table["expected_value"].sum()), 2)
    deals = int(table[["open_deals", "won_deals"]].to_numpy().sum())
    return {"seconds": seconds, "peak": peak, "total": check, "deals": deals}


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    for name in ("currency", "status"):
        frame[name] = frame[name].astype("category")
    for name in ("expected_close", "closed_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True).astype("datetime64[us, UTC]")
    return frame


def _on_dask(engine: str, paths: list[str], folder: Path) -> tuple[pd.DataFrame, float]:
    from distributed import Client, LocalCluster  # noqa: PLC0415

    from capsule_analytics import forecast  # noqa: PLC0415
    from capsule_analytics.portfolio import Portfolio  # noqa: PLC0415

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit="2GB"
    ) as cluster:
        if engine == "dask":
            view = folder.parent / f"view{len(paths)}"
            for path in paths:
                place = view / Path(path).relative_to(folder)
                place.parent.mkdir(parents=True)
                place.symlink_to(path)
            began = time.perf_counter()
            return Portfolio(view).by_month(
                by=None, as_of=AS_OF, scheduler=cluster.scheduler_address
            ), began
        import dask.dataframe as dd  # noqa: PLC0415

        with Client(cluster):
            frame = pd.concat([pd.read_parquet(path) for path in paths]).drop(columns=["name"])
            parts = dd.from_pandas(_typed(frame), npartitions=4).persist()
            parts.map_partitions(len).compute()
            began = time.perf_counter()
            return forecast.by_month(parts, as_of=AS_OF), began


def run(engine: str, folder: Path, files: int) -> dict[str, Any]:
    """Measure in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--engine", engine, "--files", str(files), "--data", folder],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{engine} {files} M rows: {found}", file=sys.stderr)
    return found


def tables(folder: Path, millions: tuple[int, ...]) -> str:
    """Measure everything, and write the tables down."""
    lines = [
        "| Rows | DuckDB, seconds | Rows a second | Peak memory, MB | Dask, two workers, seconds |",
        "|---:|---:|---:|---:|---:|",
    ]
    for files in millions:
        one, two = run("duckdb", folder, files), run("dask", folder, files)
        if (one["total"], one["deals"]) != (two["total"], two["deals"]):
            raise SystemExit(f"DuckDB and Dask differ at {files} million rows: {one}, {two}")
        lines.append(
            f"| {files},000,000 | {one['seconds']:.1f} | {files * 1e6 / one['seconds']:,.0f} "
            f"| {one['peak'] / 1e6:,.0f} | {two['seconds']:.1f} |"
        )
    pandas, dask = run("pandas", folder, 1), run("dask-frame", folder, 1)
    size = sum(path.stat().st_size for path in folder.glob("*/*/*.parquet"))
    rows = FILE_ROWS * len(list(folder.glob("*/*/*.parquet")))
    lines += [
        "",
        (
            f"At 1,000,000 rows that are in memory already, pandas takes "
            f"{pandas['seconds']:.2f} s and Dask on two workers {dask['seconds']:.2f} s, "
            f"{dask['seconds'] / pandas['seconds']:.1f} times as long. The generated rows take "
            f"{size / rows:.0f} bytes each as Parquet."
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write down; or measure one thing, where told so."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--engine")
    options.add_argument("--files", type=int)
    options.add_argument("--data", type=Path)
    options.add_argument("--millions", type=int, nargs="*", default=MILLIONS)
    chosen = options.parse_args()
    if chosen.engine == "write":
        write(chosen.data, chosen.files)
        print("{}")
        return
    if chosen.engine:
        print(json.dumps(measured(chosen.engine, chosen.data, chosen.files)))
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "export"
        # In a process of its own, as processes inherit the peak of the one that starts them.
        run("write", data, max(chosen.millions))
        text = tables(data, tuple(chosen.millions))
    print(text)
    head, begin, rest = DOC.read_text(encoding="utf-8").partition("<!-- portfolio -->\n")
    _, end, tail = rest.partition("<!-- end portfolio -->")
    DOC.write_text(f"{head}{begin}{text}\n{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
