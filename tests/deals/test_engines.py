"""The same deals give the same table to the cent, whatever holds them and in any parts."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from functools import partial
from typing import Any

import dask
import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from deals import AS_OF, deals

import capsule_analytics as ca
from capsule_analytics import forecast, history
from capsule_analytics._deals import _sources as _engines
from capsule_analytics._deals._sums import add, combine
from capsule_analytics._words import round_cents
from capsule_analytics.errors import ArgumentError, DataError

FUNCTIONS = (forecast.by_month, forecast.revenue_schedule)


def portfolio_frame(copies: int = 3) -> pd.DataFrame:
    """Put the sample account together several times, ids repeating, as several accounts."""
    frame = ca.load_sample().opportunities
    return pd.concat([frame.assign(account=f"account {n}") for n in range(copies)])


def cents(table: pd.DataFrame) -> pd.DataFrame:
    """Round every amount to cents, so that tables can be compared exactly."""
    rounded = table.copy()
    rounded.attrs = {}
    for name in table.select_dtypes("float"):
        rounded[name] = round_cents(table[name].to_numpy())
    return rounded


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("by", [None, "account", ["account", "owner"], "party"])
def test_all_engines_one_table(function: Any, by: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = portfolio_frame()
    wanted = cents(function(frame, by=by, as_of=AS_OF))
    monkeypatch.setattr(_engines, "ROWS", 500)
    for seed in (1, 2):
        shuffled = frame.sample(frac=1, random_state=seed)
        rows = shuffled.reset_index()
        with duckdb.connect() as connection:
            relation = connection.from_df(rows)
            pd.testing.assert_frame_equal(cents(function(relation, by=by, as_of=AS_OF)), wanted)
        plain = shuffled.drop(columns=["tags", "fields"])
        parts = dd.from_pandas(plain, npartitions=5 * seed, sort=False)
        found = function(parts, by=by, as_of=AS_OF)
        pd.testing.assert_frame_equal(cents(found), wanted)
        again = function(parts.repartition(npartitions=3), by=by, as_of=AS_OF)
        pd.testing.assert_frame_equal(cents(again), wanted)
        for polars in (pl.from_pandas(plain.reset_index()), pl.from_pandas(plain).lazy()):
            pd.testing.assert_frame_equal(cents(function(polars, by=by, as_of=AS_OF)), wanted)
        arrow = pa.Table.from_pandas(plain)
        pd.testing.assert_frame_equal(cents(function(arrow, by=by, as_of=AS_OF)), wanted)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_tags_count_on_every_engine(function: Any) -> None:
    """By tag each deal counts under every tag that it has."""
    frame = ca.load_sample().opportunities
    wanted = cents(function(frame, by="tag", as_of=AS_OF))
    with duckdb.connect() as connection:
        relation = connection.from_df(frame.reset_index())
        pd.testing.assert_frame_equal(cents(function(relation, by="tag", as_of=AS_OF)), wanted)
    with dask.config.set({"dataframe.convert-string": False}):
        parts = dd.from_pandas(frame, npartitions=4)
        pd.testing.assert_frame_equal(cents(function(parts, by="tag", as_of=AS_OF)), wanted)


def test_tags_that_dask_made_text_are_refused() -> None:
    frame = ca.load_sample().opportunities
    with dask.config.set({"dataframe.convert-string": True}):
        parts = dd.from_pandas(frame, npartitions=2)
        with pytest.raises(ArgumentError, match="convert-string"):
            forecast.by_month(parts, by="tag", as_of=AS_OF)


def test_half_cents_fall_alike_however_the_deals_are_parted() -> None:
    """Sums of floats in two orders differ in their last digits; these must not, to the bit."""
    values = [2500.5, 0.1, 1e9 + 0.07, 1234.56, 875.17, 3.335] * 400
    rows = [{"value": v, "probability": 35, "expected_close": "2026-11-01"} for v in values]
    frame = deals(rows).opportunities
    whole = forecast.by_month(frame, as_of=AS_OF)
    for seed, count in ((1, 2), (2, 7), (3, 100)):
        shuffled = frame.sample(frac=1, random_state=seed)
        parts = dd.from_pandas(shuffled, npartitions=count, sort=False)
        pd.testing.assert_frame_equal(
            forecast.by_month(parts, as_of=AS_OF), whole, check_exact=True
        )


def test_more_groups_than_a_number_can_tell_apart() -> None:
    """Seven columns of a thousand values each have more combinations than 64 bits."""
    groups = ["owner", "milestone", "pipeline", "team", "party", "account"]
    one = deals([{"value": 0.75, "expected_close": "2026-11-01"}]).opportunities
    frame = one.iloc[np.zeros(2_000, dtype=int)].assign(
        **{name: [f"{name} {n % 1_000}" for n in range(2_000)] for name in groups},
        currency=[f"{n % 1_000}" for n in range(2_000)],
        expected_close=pd.date_range("2026-11-01", periods=1_000, tz="UTC").tolist() * 2,
    )
    table = forecast.by_month(frame, by=groups, as_of=AS_OF)
    assert len(table) == 1_000
    assert (table["open_value"] == 1.5).all()
    assert (table["open_deals"] == 2).all()


@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_ranges_and_chances_are_the_same_on_every_engine(correlation: float) -> None:
    """To the bit: what is kept of the parts is the deals that ranges are made of."""
    frame = portfolio_frame()
    look = partial(
        forecast.by_month, period="year", as_of=AS_OF, ranges=True, target=2e6,
        correlation=correlation,
    )  # fmt: skip
    wanted = look(frame)
    assert wanted["chance"].between(0.01, 0.99).any()
    shuffled = frame.sample(frac=1, random_state=1)
    with duckdb.connect() as connection:
        found = look(connection.from_df(shuffled.reset_index()))
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)
    plain = shuffled.drop(columns=["tags", "fields"])
    parts = dd.from_pandas(plain, npartitions=7, sort=False)
    pd.testing.assert_frame_equal(look(parts), wanted, check_exact=True)
    pd.testing.assert_frame_equal(look(pl.from_pandas(plain)), wanted, check_exact=True)


def test_partial_sums_may_be_added_in_any_tree() -> None:
    def part(value: float) -> pd.DataFrame:
        return pd.DataFrame(
            {"bucket": [1], "won_value": [value], "won_value_rest": [0.25], "weighted_value": [0.0]}
        )

    one = combine([part(1.0), part(2.0), part(3.0)])
    other = combine([add([part(3.0), part(1.0)]), part(2.0)])
    assert one["won_value"].tolist() == other["won_value"].tolist() == [6.75]


def test_other_probabilities_reach_every_engine() -> None:
    frame = deals(
        [
            {"value": 1000, "probability": 50, "expected_close": "2026-11-01"},
            {"value": 100, "probability": 10, "expected_close": "2026-11-01"},
        ]
    ).opportunities
    calibrated = pd.Series({1: 0.25})
    frame["calibrated"] = calibrated
    with duckdb.connect() as connection:
        relation = connection.from_df(frame.reset_index())
        parts = dd.from_pandas(frame, npartitions=2)
        for held in (frame, relation, parts, pl.from_pandas(frame.reset_index())):
            for function in FUNCTIONS:
                for probability in (calibrated, "calibrated"):
                    table = function(held, as_of=AS_OF, probability=probability)
                    # 1000 * 0.25 + 100 * 0.1
                    assert table["weighted_value"].tolist() == [260.0]


def test_a_relation_of_plain_types_is_read_as_what_it_means() -> None:
    """Dates as text, whole numbers as amounts, nothing as a column: as other tools export them."""
    with duckdb.connect() as connection:
        relation = connection.sql(
            "SELECT 'EUR' AS currency, '2026-11-20' AS expected_close, NULL AS closed_at, "
            "0.5 AS probability, 10 AS tcv, 'open' AS status, 'a' AS account"
        )
        (row,) = forecast.by_month(relation, by="account", as_of=AS_OF).to_dict("records")
        assert (str(row["month"]), row["account"], row["weighted_value"]) == ("2026-11", "a", 5.0)
        nothing = forecast.by_month(relation.filter("tcv < 0"), by="account", as_of=AS_OF)
        assert nothing.empty
        words = connection.sql("SELECT * REPLACE ('soon' AS expected_close) FROM relation")
        with pytest.raises(DataError, match="expected_close is string and cannot be read as date"):
            forecast.by_month(words, as_of=AS_OF)


def test_a_zone_shifts_no_day() -> None:
    """Days are midnights in UTC: neither a session's zone nor a column's moves them."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        relation = connection.from_df(ca.load_sample().opportunities.reset_index())
        wanted = cents(forecast.by_month(ca.load_sample().opportunities, as_of=AS_OF))
        pd.testing.assert_frame_equal(cents(forecast.by_month(relation, as_of=AS_OF)), wanted)
    frame = pl.from_pandas(ca.load_sample().opportunities.drop(columns=["tags", "fields"]))
    days = ["expected_close", "closed_at"]
    moved = frame.with_columns(pl.col(days).dt.convert_time_zone("Asia/Tokyo"))
    pd.testing.assert_frame_equal(cents(forecast.by_month(moved, as_of=AS_OF)), wanted)


def test_a_polars_frame_of_plain_types_is_read_as_what_it_means() -> None:
    frame = pl.DataFrame({
        "currency": ["EUR", None], "expected_close": ["2026-11-20T00:00:00Z"] * 2,
        "closed_at": [None, None], "probability": [0.5, float("nan")], "tcv": [10, 20],
        "status": ["open", "open"],
    })  # fmt: skip
    table = forecast.by_month(frame, as_of=AS_OF)
    assert table["weighted_value"].tolist() == [5.0, 0.0]
    assert table["open_value"].tolist() == [10.0, 20.0]
    words = frame.with_columns(expected_close=pl.lit("soon"))
    with pytest.raises(DataError, match="cannot be read as what it should be"):
        forecast.by_month(words, as_of=AS_OF)
    with pytest.raises(ArgumentError, match="no column 'owner'"):
        forecast.by_month(frame, by="owner", as_of=AS_OF)


@pytest.mark.parametrize("wrong", [1.5, -0.1])
def test_a_calibrated_probability_outside_its_range_is_refused_everywhere(wrong: float) -> None:
    frame = deals([{"value": 1000, "expected_close": "2026-11-01"}]).opportunities
    frame["calibrated"] = wrong
    rows = frame.reset_index()
    with duckdb.connect() as connection:
        for table in (frame, connection.from_df(rows), pl.from_pandas(rows)):
            with pytest.raises(ArgumentError, match=f"from 0 to 1, and .* {wrong:g}"):
                forecast.by_month(table, as_of=AS_OF, probability="calibrated")


def test_a_custom_field_groups_on_every_engine() -> None:
    """Engines hold custom fields as an export writes them: as JSON."""
    frame = ca.load_sample().opportunities
    wanted = cents(forecast.by_month(frame, by="field:Lead source", as_of=AS_OF))
    assert len(set(wanted["field:Lead source"].dropna())) > 1
    assert len(wanted) > len(forecast.by_month(frame, as_of=AS_OF))
    rows = frame.reset_index()
    rows["fields"] = [
        None if one is None else json.dumps(one, default=str) for one in rows["fields"]
    ]
    for table in (duckdb.from_df(rows), pl.from_pandas(rows.drop(columns="tags"))):
        found = cents(forecast.by_month(table, by="field:Lead source", as_of=AS_OF))
        pd.testing.assert_frame_equal(found, wanted)
    with pytest.raises(ArgumentError, match="no deal has the custom field 'Colour'; there are"):
        forecast.by_month(frame, by="field:Colour", as_of=AS_OF)


def test_no_engine_draws_on_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = true")
        connection.execute("SET progress_bar_time = 300")
        relation = connection.sql("SELECT i AS id, 'EUR' AS currency, DATE '2026-11-20' AS "
            "expected_close, NULL::DATE AS closed_at, 0.5 AS probability, i::DOUBLE AS tcv, "
            "'open' AS status FROM range(40_000_000) t(i)")  # fmt: skip
        forecast.by_month(relation, as_of=AS_OF, ranges=False)
        assert capfd.readouterr().out == ""
        kept = connection.execute("SELECT current_setting('enable_progress_bar')").fetchone()
        assert kept == (True,)


def test_a_pipeline_may_be_grouped_by_its_account() -> None:
    pipeline = replace(ca.load_sample(), account="acme")
    assert set(forecast.by_month(pipeline, by="account")["account"]) == {"acme"}


def test_what_cannot_be_done_is_said() -> None:
    with duckdb.connect() as connection:
        relation = connection.from_df(ca.load_sample().opportunities.reset_index())
        with pytest.raises(ArgumentError, match="cannot group by 'colour'"):
            forecast.by_month(relation, by="colour")
        with pytest.raises(ArgumentError, match="lacks the column 'status'"):
            forecast.by_month(relation.select("tcv", "currency", "expected_close", "closed_at",
                                              "probability"))  # fmt: skip
    with pytest.raises(ArgumentError, match="not list"):
        forecast.by_month([1, 2])  # type: ignore[arg-type]


def test_distributions_of_parts_add_up() -> None:
    """Deals split by a hash of their ids: the total of the parts is the total of all."""
    frame = ca.load_sample().opportunities
    frame = frame[(frame["status"] == "open") & (frame["currency"] == "GBP")]
    part_of = np.array([zlib.crc32(str(key).encode()) % 3 for key in frame.index])
    first, *others = [
        ca.risk.distribution(frame["tcv"][part_of == n], frame["probability"][part_of == n])
        for n in range(3)
    ]
    whole = ca.risk.distribution(frame["tcv"], frame["probability"])
    together = sum(others, start=first)
    assert together.deals == whole.deals
    assert together.mean == pytest.approx(whole.mean, rel=1e-12)
    assert together.std == pytest.approx(whole.std, rel=1e-12)
    for q in (0.1, 0.5, 0.9):
        assert together.quantile(q) == pytest.approx(whole.quantile(q), abs=0.01 * whole.std)


def test_bridges_of_parts_add_up() -> None:
    """Each deal is explained by itself, so the bridges of thirds sum to the bridge of all."""
    *_, before, after = history.sample_history()

    def third(pipeline: ca.Pipeline, n: int) -> ca.Pipeline:
        frame = pipeline.opportunities
        return replace(pipeline, opportunities=frame[frame.index % 3 == n])

    whole = history.changes(before, after)
    parts = pd.concat([history.changes(third(before, n), third(after, n)) for n in range(3)])
    keys = ["currency", "part"]
    summed = parts.groupby(keys, observed=True, dropna=False)[["deals", "value"]].sum().round(2)
    pd.testing.assert_frame_equal(
        summed.sort_index(), whole.set_index(keys)[["deals", "value"]].sort_index(),
        check_index_type=False,
    )  # fmt: skip
