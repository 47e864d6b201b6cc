"""A pipeline as an Arrow table or a Polars frame: typed, nothing lost, and taken back."""

from __future__ import annotations

import sys
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pytest
from deals import deals

import capsule_analytics as ca
from capsule_analytics import forecast
from capsule_analytics.errors import ArgumentError, MissingExtraError

if TYPE_CHECKING:
    import pyarrow as pa

FUNCTIONS = (forecast.by_month, forecast.revenue_schedule)


class Stream:
    """Any table that speaks Arrow's PyCapsule interface, and nothing else."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("by", [None, ["owner", "tag"], "field:Lead source"])
def test_what_is_given_is_taken_back(function: Any, by: Any) -> None:
    pipeline = ca.load_sample()
    wanted = function(pipeline, by=by)
    arrow, frame = pipeline.to_arrow(), pipeline.to_polars()
    for table in (arrow, Stream(arrow), frame, frame.lazy()):
        pd.testing.assert_frame_equal(function(table, by=by, as_of=pipeline.as_of), wanted)


def test_each_column_has_its_type_and_what_is_missing_is_null() -> None:
    pipeline = deals(
        [
            {
                "name": "A", "value": 1.5, "owner_id": 7, "expected_close": "2026-10-31",
                "updated_at": "2026-10-01T23:30:00+02:00", "tags": ("x", "y"),
                "fields": {"Users": 3, "Renews on": date(2027, 1, 2)},
            },
            {"name": None, "value": None, "currency": None},
        ]
    )  # fmt: skip
    frame = pipeline.to_polars()
    assert frame.columns == ["id", *pipeline.opportunities.columns]
    assert {name: frame.schema[name] for name in ("id", "name", "value", "owner_id")} == {
        "id": pl.Int64, "name": pl.String, "value": pl.Float64, "owner_id": pl.Int64,
    }  # fmt: skip
    assert frame.schema["currency"] == pl.Categorical
    assert frame.schema["expected_close"] == pl.Date
    assert frame.schema["updated_at"] == pl.Datetime("us", "UTC")
    assert frame.schema["tags"] == pl.List(pl.String)
    first, second = frame.to_dicts()
    assert first["expected_close"] == date(2026, 10, 31)
    assert first["updated_at"].isoformat() == "2026-10-01T21:30:00+00:00"
    assert (first["owner_id"], first["tags"], first["status"]) == (7, ["x", "y"], "open")
    assert first["fields"] == '{"Renews on":"2027-01-02","Users":3}'
    given = ("name", "value", "currency", "owner_id", "tags", "fields", "expected_close")
    assert {name: second[name] for name in given} == dict.fromkeys(given)


def test_columns_of_ones_own_go_along_and_no_deals_keep_the_types() -> None:
    pipeline = ca.load_sample()
    frame = pipeline.opportunities.assign(score=1.5, when=pd.Timestamp("2026-01-01"))
    own = ca.Pipeline(
        frame, pipeline.milestones, pipeline.issues, pipeline.loaded_at, pipeline.as_of
    )
    assert own.to_arrow().column_names[-2:] == ["score", "when"]
    empty = ca.Pipeline(
        frame[:0], pipeline.milestones, pipeline.issues, pipeline.loaded_at, pipeline.as_of
    )
    assert empty.to_polars().schema["created_at"] == pl.Datetime("us", "UTC")
    assert len(empty.to_polars()) == 0


@pytest.mark.parametrize(
    ("method", "package", "extra"),
    [
        ("to_arrow", "pyarrow", "arrow"),
        ("to_polars", "polars", "polars"),
        ("to_polars", "pyarrow", "polars"),
    ],
)
def test_the_extra_that_is_missing_is_named(
    method: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"pip install \"capsule-analytics\[{extra}\]\""):
        getattr(deals([]), method)()


def test_what_takes_pandas_alone_says_so() -> None:
    frame = ca.load_sample().to_polars()
    for function in (
        lambda: ca.scenarios.by_category(frame),
        lambda: ca.fx.convert(frame, "GBP", ca.fx.ecb_rates()),
        lambda: ca.calibration.win_rates(frame, by="owner"),
    ):
        with pytest.raises(ArgumentError, match=r"a pandas frame .* not polars\.DataFrame"):
            function()
