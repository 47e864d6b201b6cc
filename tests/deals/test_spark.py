"""Spark gives the figures of pandas, to the cent. Needs PySpark and Java: `make test-spark`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from deals import AS_OF

import capsule_analytics as ca
from capsule_analytics import forecast
from capsule_analytics._words import round_cents
from capsule_analytics.errors import ArgumentError, DataError

pytest.importorskip("pyspark", minversion="4.0")
if shutil.which("java") is None:
    pytest.skip("no Java here", allow_module_level=True)
from pyspark.sql import SparkSession
from pyspark.sql import functions as sql

pytestmark = [
    pytest.mark.slow,
    # PySpark's own, of pandas 3 and of sockets that it leaves to the collector.
    pytest.mark.filterwarnings("ignore:PySpark does not yet:FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
FUNCTIONS = (forecast.by_month, forecast.revenue_schedule)


@pytest.fixture(scope="module", params=["UTC", "America/New_York"])
def spark(request: pytest.FixtureRequest) -> Iterator[SparkSession]:
    """Start Spark in this process; a day must not depend on its zone."""
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "3")
        .config("spark.sql.session.timeZone", request.param)
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture(scope="module")
def pipeline() -> ca.Pipeline:
    return ca.load_sample()


@pytest.fixture(scope="module")
def held(spark: SparkSession, pipeline: ca.Pipeline) -> Any:
    frame = pipeline.opportunities.drop(columns=["tags", "fields"], errors="ignore").reset_index()
    shuffled = frame.sample(frac=1, random_state=3)
    table = spark.createDataFrame(pa.Table.from_pandas(shuffled, preserve_index=False))
    return table.repartition(4).cache()


def cents(table: pd.DataFrame) -> pd.DataFrame:
    """Round every amount to cents, so that tables can be compared exactly."""
    rounded = table.copy()
    rounded.attrs = {}
    for name in table.select_dtypes("float"):
        rounded[name] = round_cents(table[name].to_numpy())
    return rounded


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "asked",
    [{}, {"by": "owner", "overdue": "roll"}, {"by": "party", "period": "year", "overdue": "drop"}],
    ids=str,
)
def test_spark_sums_as_pandas_does(
    function: Any, asked: dict[str, Any], held: Any, pipeline: ca.Pipeline
) -> None:
    wanted = function(pipeline.opportunities, as_of=AS_OF, **asked)
    found = function(held, as_of=AS_OF, **asked)
    pd.testing.assert_frame_equal(cents(found), cents(wanted))


def test_ranges_and_probabilities_by_id(held: Any, pipeline: ca.Pipeline) -> None:
    other = pd.Series(0.25, index=pipeline.opportunities.index)
    asked: dict[str, Any] = {
        "as_of": AS_OF, "period": "year", "ranges": True, "probability": other
    }  # fmt: skip
    wanted = forecast.by_month(pipeline.opportunities, **asked)
    pd.testing.assert_frame_equal(cents(forecast.by_month(held, **asked)), cents(wanted))
    del asked["probability"]
    wanted = forecast.by_month(pipeline.opportunities, **asked)
    pd.testing.assert_frame_equal(cents(forecast.by_month(held, **asked)), cents(wanted))


def test_days_may_be_dates_and_numbers_not_a_number(held: Any, pipeline: ca.Pipeline) -> None:
    dates = held.withColumns(
        {
            name: sql.convert_timezone(None, sql.lit("UTC"), sql.col(name)).cast("date")
            for name in ("expected_close", "closed_at")
        }
    )
    odd = dates.withColumn("tcv", sql.coalesce("tcv", sql.lit(float("nan"))))
    wanted = forecast.by_month(pipeline.opportunities, as_of=AS_OF)
    pd.testing.assert_frame_equal(cents(forecast.by_month(odd, as_of=AS_OF)), cents(wanted))


def test_what_spark_cannot_sum_is_told(held: Any) -> None:
    with pytest.raises(DataError, match="expected_close is string in Spark"):
        forecast.by_month(
            held.withColumn("expected_close", sql.col("expected_close").cast("string"))
        )
    with pytest.raises(DataError, match="Spark cannot sum the deals"):
        forecast.by_month(held.withColumn("tcv", sql.lit("a lot")))
    with pytest.raises(ArgumentError, match="no column 'account'"):
        forecast.by_month(held, by="account")
    wrong = held.withColumn("calibrated", sql.lit(1.5))
    with pytest.raises(ArgumentError, match="from 0 to 1"):
        forecast.by_month(wrong, probability="calibrated")


def test_the_session_keeps_its_settings(spark: SparkSession, held: Any) -> None:
    before = spark.conf.get("spark.sql.timestampType")
    forecast.by_month(held, as_of=AS_OF)
    assert spark.conf.get("spark.sql.timestampType") == before
