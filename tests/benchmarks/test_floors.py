"""What the benchmarks measure against comes to the same figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from topics import analyse, engines

import capsule_analytics as ca


def test_the_floor_of_the_forecast_is_the_forecast() -> None:
    sample = ca.load_sample()
    table = ca.forecast.by_month(sample)
    floor = analyse.by_hand(sample.opportunities, pd.Timestamp(sample.as_of, tz="UTC"))
    analyse.insist_on_the_same(table, floor)
    with pytest.raises(SystemExit, match="other figures"):
        analyse.insist_on_the_same(table, floor.assign(open_value=floor["open_value"] + 0.01))


def test_bare_queries_are_the_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "FILE_ROWS", 2_000)
    paths = engines.written(tmp_path, 0, 2)
    for ours, bare in (
        (engines.duckdb_ours, engines.duckdb_bare),
        (engines.polars_ours, engines.polars_bare),
    ):
        engines.insist_on_the_same(ours(paths), bare(paths))
