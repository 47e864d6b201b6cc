"""The forecast where DuckDB or Polars holds the deals, against the same asked of them directly."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd
from measure import Cost, Row, apart, in_turn, table, within

from capsule_analytics import forecast

if TYPE_CHECKING:
    import polars as pl

MILLIONS = (10,)
HEAVY = (10, 50)
FILE_ROWS = 1_000_000
AS_OF = date(2026, 10, 15)
MEASURES = ["open_deals", "open_value", "weighted_value", "won_deals", "won_value",
            "overdue_deals", "overdue_value", "overdue_weighted"]  # fmt: skip

_DEALS = """
COPY (
  SELECT currency, day AS expected_close,
         CASE status WHEN 'open' THEN NULL ELSE day END AS closed_at,
         (1 + floor(19 * random())) / 20 AS probability,
         round(exp(9 + 1.2 * (random() + random() + random() - 1.5) * 2), 2) AS tcv, status
  FROM (
    SELECT ['GBP', 'EUR', 'USD', 'CHF'][1 + floor(4 * random())::INT] AS currency,
           ['open', 'open', 'won', 'won', 'lost'][1 + floor(5 * random())::INT] AS status,
           DATE '2024-05-01' + floor(1600 * random())::INT AS day
    FROM range({rows})
  )
) TO '{path}' (FORMAT parquet)
"""

_BARE = """
SELECT date_trunc('month', CASE WHEN status = 'won' AND closed_at IS NOT NULL THEN closed_at
                           ELSE expected_close END) AS month,
       currency,
       count(*) FILTER (status = 'open') AS open_deals,
       sum(tcv) FILTER (status = 'open') AS open_value,
       sum(tcv * probability) FILTER (status = 'open') AS weighted_value,
       count(*) FILTER (status = 'won') AS won_deals,
       sum(tcv) FILTER (status = 'won') AS won_value,
       count(*) FILTER (status = 'open' AND expected_close < DATE '{day}') AS overdue_deals,
       sum(tcv) FILTER (status = 'open' AND expected_close < DATE '{day}') AS overdue_value,
       sum(tcv * probability) FILTER (status = 'open' AND expected_close < DATE '{day}')
         AS overdue_weighted
FROM read_parquet($paths) WHERE status <> 'lost' GROUP BY ALL
"""


def measure(*, heavy: bool) -> str:
    """Measure on generated Parquet, after all have shown the same figures."""
    rows = []
    counted: set[int] = set()
    notes = ["| DuckDB, rows | peak memory beyond the start, MB |", "|---:|---:|"]
    with tempfile.TemporaryDirectory() as folder:
        paths: list[str] = []
        for millions in HEAVY if heavy else MILLIONS:
            paths += written(Path(folder), len(paths), millions)
            name = f"{millions},000,000 Parquet rows"
            runs = 5 if millions <= 10 else 3
            insist_on_the_same(duckdb_ours(paths), duckdb_bare(paths))
            ours, bare = in_turn(
                lambda paths=paths: duckdb_ours(paths),
                lambda paths=paths: duckdb_bare(paths),
                runs=runs,
                warm=False,
            )
            rows.append(Row(f"by_month on DuckDB, {name}", ours, "bare SQL of the same", bare, 1.5))
            if millions == 50:
                rows.append(Row(f"by_month on DuckDB, {name}", ours, most=4))
            for part in sorted({1, millions // 2, millions} - counted):
                counted.add(part)
                cost, _ = apart(peak, paths[:part])
                notes.append(f"| {part},000,000 | {cost.peak / 1e6:,.0f} |")
        paths = paths[: MILLIONS[0]]
        try:
            insist_on_the_same(polars_ours(paths), polars_bare(paths))
        except ImportError:
            notes.append("\n`polars` is not installed and was skipped.")
        else:
            for what, held in (("Parquet", False), ("in memory", True)):
                lazy = _scan(paths, held=held)
                ours, bare = in_turn(
                    lambda lazy=lazy: polars_ours(paths, lazy),
                    lambda lazy=lazy: polars_bare(paths, lazy),
                    warm=False,
                )
                name = f"by_month on Polars, {len(paths)},000,000 rows, {what}"
                rows.append(Row(name, ours, "bare Polars of the same", bare, 1.5))
    return "\n\n".join([table(rows), "\n".join(notes)])


def written(folder: Path, first: int, millions: int) -> list[str]:
    """Write files of `FILE_ROWS` deals each, as many as are lacking."""
    paths = [str(folder / f"{n:02}.parquet") for n in range(first, millions)]
    with duckdb.connect() as connection:
        for path in paths:
            connection.execute(_DEALS.format(path=path, rows=FILE_ROWS))
    return paths


def insist_on_the_same(ours: pd.DataFrame, bare: pd.DataFrame) -> None:
    """Insist on the same row for row, amounts to the cent as far as plain sums have it."""
    bare = bare.sort_values(["month", "currency"])
    months = pd.to_datetime(bare["month"]).dt.to_period("M").tolist()
    if ours["month"].tolist() != months or not np.allclose(
        ours[MEASURES].to_numpy(float), bare[MEASURES].fillna(0).to_numpy(float), atol=0.005
    ):
        raise SystemExit("the bare query shows other figures")


def duckdb_ours(paths: list[str]) -> pd.DataFrame:
    """Sum by the package."""
    with duckdb.connect() as connection:
        return forecast.by_month(connection.read_parquet(paths), as_of=AS_OF)


def duckdb_bare(paths: list[str]) -> pd.DataFrame:
    """Sum by SQL."""
    with duckdb.connect() as connection:
        return connection.execute(_BARE.format(day=AS_OF), {"paths": paths}).df()


def peak(paths: list[str]) -> tuple[Cost, int]:
    """Sum by the package in a process made for it."""
    duckdb_ours(paths[:1])  # imports are there before
    return within(lambda: len(duckdb_ours(paths)))


def _scan(paths: list[str], *, held: bool) -> pl.LazyFrame:
    import polars as pl  # noqa: PLC0415 - a peer

    lazy = pl.scan_parquet(paths)
    return lazy.collect().lazy() if held else lazy


def polars_ours(paths: list[str], lazy: pl.LazyFrame | None = None) -> pd.DataFrame:
    """Sum by the package."""
    return forecast.by_month(_scan(paths, held=False) if lazy is None else lazy, as_of=AS_OF)


def polars_bare(paths: list[str], lazy: pl.LazyFrame | None = None) -> pd.DataFrame:
    """Sum by Polars' own expressions."""
    import polars as pl  # noqa: PLC0415 - a peer

    won, open_ = pl.col("status") == "won", pl.col("status") == "open"
    late = open_ & (pl.col("expected_close") < AS_OF)
    tcv, weighted = pl.col("tcv"), pl.col("tcv") * pl.col("probability")

    def total(amount: pl.Expr, name: str, counts: pl.Expr) -> pl.Expr:
        return amount.filter(counts).sum().alias(name)

    close = pl.when(won & pl.col("closed_at").is_not_null()).then("closed_at")
    found = (
        (_scan(paths, held=False) if lazy is None else lazy)
        .filter(pl.col("status") != "lost")
        .group_by(close.otherwise("expected_close").dt.truncate("1mo").alias("month"), "currency")
        .agg(
            open_.sum().alias("open_deals"),
            total(tcv, "open_value", open_),
            total(weighted, "weighted_value", open_),
            won.sum().alias("won_deals"),
            total(tcv, "won_value", won),
            late.sum().alias("overdue_deals"),
            total(tcv, "overdue_value", late),
            total(weighted, "overdue_weighted", late),
        )
        .collect()
    )
    return pd.DataFrame({name: found[name].to_list() for name in found.columns})
