"""Sums of a million deals in memory, and ranges, against the same done by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
from measure import Row, in_turn, table

import capsule_analytics as ca
from capsule_analytics.schema import DURATION_BASES

ROWS = 1_000_000
MEASURES = ["open_deals", "open_value", "weighted_value", "won_deals", "won_value",
            "overdue_deals", "overdue_value", "overdue_weighted"]  # fmt: skip


def measure(*, heavy: bool) -> str:
    """Measure, after the floor has shown the same figures."""
    runs = 9 if heavy else 5
    sample = ca.load_sample()
    day = sample.as_of
    frame = pd.concat([sample.opportunities] * (ROWS // len(sample.opportunities) + 1))
    frame = frame.iloc[:ROWS].reset_index(drop=True)
    insist_on_the_same(
        ca.forecast.by_month(frame, as_of=day), by_hand(frame, pd.Timestamp(day, tz="UTC"))
    )
    month, floor, revenue = in_turn(
        lambda: ca.forecast.by_month(frame, as_of=day),
        lambda: by_hand(frame, pd.Timestamp(day, tz="UTC")),
        lambda: ca.forecast.revenue_schedule(frame, as_of=day),
        runs=runs,
    )
    spread = all_spread(frame)
    month_2, revenue_2 = in_turn(
        lambda: ca.forecast.by_month(spread, as_of=day),
        lambda: ca.forecast.revenue_schedule(spread, as_of=day),
        runs=runs,
    )
    generator = np.random.default_rng(5)
    tcv = generator.lognormal(9, 1.2, 10_000).round(2)
    chance = generator.integers(0, 21, 10_000) / 20

    def exact() -> np.ndarray:
        return ca.risk.distribution(tcv, chance).quantile([0.1, 0.5, 0.9])

    def drawn() -> np.ndarray:
        won = generator.random((1000, 10_000)) < chance
        return np.quantile(won @ tcv, [0.1, 0.5, 0.9])

    if not np.allclose(exact(), drawn(), rtol=0.01):
        raise SystemExit("the ranges differ")
    found, draws = in_turn(exact, drawn, runs=runs)
    deals = f"{ROWS:,} deals"
    rows = [
        Row(f"by_month, {deals}", month, "one pandas group-by of the same", floor, 1.3),
        Row(f"revenue_schedule, {deals}", revenue, "by_month", month, 3),
        Row("the same, every deal spread and alike to none", revenue_2, "by_month", month_2, 3),
        Row("range of 10,000 deals, exact", found, "1,000 Monte Carlo draws, within 1 %", draws),
        Row("range of 10,000 deals, exact", found, most=0.3),
    ]
    return table(rows)


def by_hand(frame: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    """Place and sum as a few lines of pandas do, all from the beginning each time."""
    needed = ["status", "expected_close", "closed_at", "tcv", "probability", "currency"]
    frame = frame[needed][(frame["status"] != "lost").to_numpy()]
    won = (frame["status"] == "won").to_numpy()
    expected, closed = (
        frame[name].dt.tz_localize(None).to_numpy() for name in ("expected_close", "closed_at")
    )
    late = ~won & (expected < day.tz_localize(None).to_datetime64())
    tcv = frame["tcv"].to_numpy()
    weighted = tcv * frame["probability"].to_numpy()
    months = np.where(won & ~np.isnat(closed), closed, expected).astype("datetime64[M]")
    table = pd.DataFrame(
        {
            "month": months.astype(np.int64),
            "currency": frame["currency"].array,
            "open_deals": ~won,
            "open_value": np.where(won, 0, tcv),
            "weighted_value": np.where(won, 0, weighted),
            "won_deals": won,
            "won_value": np.where(won, tcv, 0),
            "overdue_deals": late,
            "overdue_value": np.where(late, tcv, 0),
            "overdue_weighted": np.where(late, weighted, 0),
        }
    )  # fmt: skip
    keys = ["month", "currency"]
    return table.groupby(keys, observed=True, dropna=False).sum().reset_index()


def insist_on_the_same(ours: pd.DataFrame, floor: pd.DataFrame) -> None:
    """Insist on the same row for row, amounts to the cent."""
    floor = floor.astype({"currency": object})
    floor["month"] = floor["month"].where(floor["month"] != np.iinfo(np.int64).min)  # NaT
    floor = floor.sort_values(["month", "currency"], na_position="last")
    names = [found["currency"].fillna("none").tolist() for found in (ours, floor)]
    if names[0] != names[1] or not np.allclose(
        ours[MEASURES].to_numpy(float), floor[MEASURES].to_numpy(float), rtol=0, atol=0.005
    ):
        raise SystemExit("the floor of by_month shows other figures")


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
