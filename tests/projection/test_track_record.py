"""Past projections beside what came, and what chance alone leaves open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import capsule_analytics as ca
from capsule_analytics.errors import ArgumentError

if TYPE_CHECKING:
    from capsule_analytics.projection import Projection


@pytest.fixture(scope="module")
def model() -> Projection:
    return ca.projection.fit(ca.load_sample())


@pytest.fixture(scope="module")
def record(model: Projection) -> pd.DataFrame:
    return model.track_record()


def test_a_single_load_has_a_track_record_of_a_year(record: pd.DataFrame) -> None:
    pounds = record[record["currency"] == "GBP"]
    assert pounds["month"].astype(str).tolist() == [
        *(f"2025-{month}" for month in (10, 11, 12)),
        *(f"2026-{month:02}" for month in range(1, 10)),
    ]
    assert (pounds["p10"] <= pounds["p50"]).all()
    assert (pounds["p50"] <= pounds["p90"]).all()
    assert record.attrs["as_of"] == "2026-10-15"


def test_what_came_is_what_the_forecast_shows_as_won(record: pd.DataFrame) -> None:
    won = ca.forecast.by_month(ca.load_sample()).set_index(["month", "currency"])["won_value"]
    for row in record[record["currency"] == "GBP"].itertuples():
        assert row.actual_value == pytest.approx(won[row.month, "GBP"])
        assert row.inside == (row.p10 <= row.actual_value <= row.p90)


def test_the_basis_and_the_record_count_the_same_months(
    model: Projection, record: pd.DataFrame
) -> None:
    rows = record.groupby(record["currency"].fillna("")).size()
    assert {c: n for c, n in model.basis.scored.items() if n} == rows.to_dict()


def test_fewer_months_are_the_last_ones(model: Projection, record: pd.DataFrame) -> None:
    pounds = record[record["currency"] == "GBP"]
    short = model.track_record(months=3)
    short = short[short["currency"] == "GBP"]
    assert len(short) == 3
    assert short["p90"].tolist() == pounds["p90"].tolist()[-3:]
    assert ca.projection.track_words(short) == "too few months to tell"
    for months in (0, 13, 1.5):
        with pytest.raises(ArgumentError, match="months must be 1 to 12"):
            model.track_record(months=months)


def test_a_young_account_has_none() -> None:
    pipeline = ca.load_sample()
    deals = pipeline.opportunities
    young = deals[deals["created_at"] >= pd.Timestamp("2026-09-01", tz="UTC")]
    record = ca.projection.fit(
        ca.Pipeline(
            young, pipeline.milestones, pipeline.issues, pipeline.loaded_at, pipeline.as_of,
            pipeline.account,
        )
    ).track_record()  # fmt: skip
    assert record.empty
    assert record.columns.tolist()[0] == "month"
    assert ca.projection.track_words(record) == "too few months to tell"


def test_noise_is_narrower_than_the_projection(model: Projection) -> None:
    period = ("2026-12-01", "2027-01-01")
    for currency in ("GBP", "EUR"):
        noise, whole = (f(*period, currency) for f in (model.noise, model.distribution))
        assert 0 < noise.std < whole.std
        assert noise.won_value == whole.won_value == 0


def test_noise_is_what_chances_alone_give(model: Projection) -> None:
    """The variance of one deal's month is p (1 - p) v²; new business adds its own."""
    deals = model.deals()
    pounds = deals[deals["currency"] == "GBP"]
    noise = model.noise("2026-10-16", "2026-11-01", "GBP")
    chance, tcv = pounds["won_this_month"], pounds["tcv"]
    assert noise.open_value == pytest.approx((chance * tcv).sum(), rel=0.1)
    least = np.sqrt((chance * (1 - chance) * tcv**2).sum())
    assert noise.std == pytest.approx(least, rel=0.15)


def test_rolling_gives_a_model_a_day() -> None:
    history = ca.history.sample_history()[-4:]
    models = list(ca.projection.rolling(reversed(history)))
    assert [one.as_of for one in models] == [one.as_of for one in history]
    alone = ca.projection.fit(history[:1])
    period = ("2026-08-01", "2026-09-01", "GBP")
    assert models[0].distribution(*period).mean == pytest.approx(
        alone.distribution(*period).mean, rel=1e-3
    )
