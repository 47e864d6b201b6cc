"""Every method scored on the same months: projection, weighted forecasts and naives."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from deals import deals

from capsule_analytics import calibration, projection
from capsule_analytics.calibration._backtest import ALL
from capsule_analytics.errors import ArgumentError
from capsule_analytics.history import sample_history

if TYPE_CHECKING:
    from capsule_analytics.schema import Pipeline

NAIVES = ["last_month", "mean_of_three", "year_ago", "conversion"]
WON = [100.0, 200.0, 600.0, 300.0, 0.0]  # January to May 2026
ENDS = [date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30)]
CREATED = "2026-01-01T00:00:00Z"


def account(as_of: date, currency: str = "GBP", unit: float = 1.0) -> Pipeline:
    """One win a month, on the 15th, and 1,000 open all the time."""
    rows = [
        {
            "id": number, "value": unit * value, "milestone": "Won", "currency": currency,
            "closed_at": f"2026-{number:02}-15", "created_at": CREATED,
        }
        for number, value in enumerate(WON, start=1)
        if date(2026, number, 15) <= as_of
    ]  # fmt: skip
    rows.append(
        {"id": 99, "value": unit * 1000.0, "created_at": CREATED, "currency": currency,
         "expected_close": "2027-01-01"}
    )  # fmt: skip
    return deals(rows, as_of=as_of)


FINAL = account(date(2026, 5, 31))


def months_of(methods: list[str], **options: object) -> pd.DataFrame:
    snapshots = [account(day) for day in ENDS]
    return calibration.backtest_months(snapshots, FINAL, methods=methods, **options)


def said(table: pd.DataFrame, method: str) -> list[float]:
    return table.loc[table["method"] == method, "forecast"].tolist()


def test_naives_by_hand() -> None:
    """Forecasts of February to May, each from the end of the month before."""
    table = months_of(NAIVES, horizons=[1])
    assert table.loc[table["method"] == "last_month", "actual"].tolist() == [200, 600, 300, 0]
    assert said(table, "last_month") == [100, 200, 600, 300]
    # While there are fewer than three months, the mean of what there is.
    assert said(table, "mean_of_three") == pytest.approx([100, 150, 300, 1100 / 3])
    assert said(table, "year_ago") == pytest.approx([100, 150, 300, 300])
    # A list of 1,000 brought 200, then (200 + 600) / 2, then (200 + 600 + 300) / 3.
    assert said(table, "conversion") == pytest.approx([100, 200, 400, 1100 / 3])


def test_naives_further_ahead_by_hand() -> None:
    table = months_of(NAIVES, horizons=[2])
    assert table.loc[table["method"] == "last_month", "actual"].tolist() == [600, 300, 0]
    assert said(table, "last_month") == [100, 200, 600]
    assert said(table, "mean_of_three") == pytest.approx([100, 150, 300])
    # In March it is known what January's list brought in March, two months on.
    assert said(table, "conversion") == pytest.approx([100, 150, 600])


def test_the_same_month_a_year_ago() -> None:
    """Two years of a won deal a month, worth the month's number; 13 to 24 in the second year."""
    rows = [
        {
            "id": n, "value": float(n), "milestone": "Won", "created_at": "2024-01-01T00:00:00Z",
            "closed_at": f"{2024 + (n - 1) // 12}-{(n - 1) % 12 + 1:02}-10",
        }
        for n in range(1, 25)
    ]  # fmt: skip
    before = deals(rows[:20], as_of=date(2025, 8, 31))
    final = deals(rows, as_of=date(2025, 12, 31))
    table = calibration.backtest_months([before], final, methods=["year_ago"])
    assert table["forecast"].tolist() == [9.0, 10.0, 11.0]
    assert table["actual"].tolist() == [21.0, 22.0, 23.0]
    # Eight months have been compared with the year before: the ratios 13/1 to 20/8.
    low, high = table.loc[0, ["p10", "p90"]]
    ratios = sorted((n + 12) / n for n in range(1, 9))
    assert (low, high) == pytest.approx((9 * ratios[0], 9 * ratios[7]))


def test_a_naive_never_says_less_than_the_month_has_brought() -> None:
    snapshot = account(date(2026, 3, 20))
    table = calibration.backtest_months(
        [snapshot], FINAL, horizons=[0], methods=["last_month", "mean_of_three"]
    )
    assert table["actual"].tolist() == [600, 600]
    assert (table[["forecast", "p10", "p50", "p90"]] >= 600).all(axis=None)


def test_losses_by_hand() -> None:
    """One deal of 1,000 at 50 % is due in February, and is won."""
    one = {"id": 1, "value": 1000.0, "probability": 50, "expected_close": "2026-02-10"}
    january = deals([one], as_of=date(2026, 1, 31))
    won = deals([{**one, "milestone": "Won", "closed_at": "2026-02-10"}], as_of=date(2026, 3, 31))
    months = calibration.backtest_months([january], won, horizons=[1], methods=["stated"])
    row = months.iloc[0]
    assert row["crps"] == 250.0  # half a chance of each: the integral of 0.5² over 1,000
    assert 0.5 <= row["pit"] <= 1.0
    assert np.isnan(row["floor_crps"])
    scores = calibration.backtest_scores(months).iloc[0]
    assert (scores["interval_score"], scores["inside"]) == (1000.0, 1.0)
    lost = deals([{**one, "milestone": "Lost", "closed_at": "2026-02-10"}], as_of=date(2026, 3, 31))
    months = calibration.backtest_months([january], lost, horizons=[1], methods=["stated"])
    assert months["crps"].tolist() == [250.0]
    assert 0.0 <= months["pit"].iloc[0] <= 0.5


def test_a_miss_costs_ten_times_its_distance() -> None:
    row = months_of(["stated"], horizons=[1])
    row = row.assign(p10=100.0, p90=400.0)[row["actual"] == 600]
    assert calibration.backtest_scores(row)["interval_score"].tolist() == [300 + 10 * 200]


def test_pit_is_drawn_alike_for_all_methods_and_calls() -> None:
    first, second = (months_of(["last_month", "mean_of_three"]) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    # A certain forecast that misses has nothing to draw.
    assert months_of(["stated"], horizons=[1])["pit"].iloc[0] == pytest.approx(1.0)


def test_accounts_and_currencies_are_pooled_in_their_mean_months() -> None:
    """The same account in pounds and a hundredfold in yen scores as either of them does."""
    ours = months_of(["mean_of_three"], horizons=[1])
    yen = calibration.backtest_months(
        [account(day, "JPY", 100.0) for day in ENDS],
        account(date(2026, 5, 31), "JPY", 100.0),
        horizons=[1],
        methods=["mean_of_three"],
    ).assign(account="other")
    alone = calibration.backtest_scores(ours).iloc[0]
    both = calibration.backtest_scores(pd.concat([ours, yen]), by=())
    assert both["months"].tolist() == [8]
    assert both.loc[0, ["bias", "wape", "inside"]].tolist() == pytest.approx(
        alone[["bias", "wape", "inside"]].tolist()
    )
    assert both["crps"].iloc[0] == pytest.approx(alone["crps"] / (1100 / 4))
    apart = calibration.backtest_scores(pd.concat([ours, yen]), by=["account", "currency"])
    assert apart["crps"].tolist() == pytest.approx([alone["crps"], 100 * alone["crps"]])


def test_a_currency_without_wins_cannot_be_pooled_and_is_named() -> None:
    months = months_of(["mean_of_three"], horizons=[1])
    months.loc[:, "actual"] = 0.0
    scores = calibration.backtest_scores(months, by=())
    assert scores.empty
    assert scores.attrs["left_out"] == ["test: GBP"]


@pytest.mark.parametrize("by", ["owner", ["currency", "team"]])
def test_other_parts_are_refused(by: object) -> None:
    with pytest.raises(ArgumentError, match="kept apart by account and currency"):
        calibration.backtest_scores(months_of(["last_month"]), by=by)
    with pytest.raises(ArgumentError, match="lacks the column"):
        calibration.backtest_scores(pd.DataFrame({"method": []}))


@pytest.fixture(scope="module")
def snapshots() -> list[Pipeline]:
    return sample_history()[10:]


@pytest.fixture(scope="module")
def months(snapshots: list[Pipeline]) -> pd.DataFrame:
    return calibration.backtest_months(snapshots[:-1], snapshots[-1], horizons=[1, 2])


def test_all_methods_are_scored_on_the_same_months(months: pd.DataFrame) -> None:
    keys = ["horizon", "currency", "day", "month"]
    counts = months.groupby(keys, dropna=False)["method"].agg(list)
    assert all(methods == list(ALL) for methods in counts)
    assert months.groupby(keys, dropna=False)["actual"].nunique().eq(1).all()


def test_the_projection_is_the_one_of_its_day(
    months: pd.DataFrame, snapshots: list[Pipeline]
) -> None:
    """From the first day on, as `fit` would have made it; coefficients have fewer digits."""
    model = projection.fit(snapshots[:1])
    row = months[(months["method"] == "projection") & (months["currency"] == "GBP")].iloc[0]
    assert row["day"].date() == snapshots[0].as_of
    april = model.distribution("2026-03-01", "2026-04-01", "GBP")
    assert str(row["month"]) == "2026-03"
    assert row["forecast"] == pytest.approx(april.mean, rel=1e-3)
    assert row["crps"] == pytest.approx(april.crps(row["actual"]), rel=1e-2)


def test_the_projection_beats_what_people_typed_but_not_chance(months: pd.DataFrame) -> None:
    pounds = calibration.backtest_scores(months)
    pounds = pounds[pounds["currency"] == "GBP"].set_index(["method", "horizon"])
    for horizon in (1, 2):
        ours = pounds.loc[("projection", horizon)]
        assert ours["crps"] < pounds.loc[("stated", horizon), "crps"]
        assert ours["crps"] > ours["floor_crps"] > 0
        assert ours["wape"] > ours["floor_wape"] > 0


def test_the_projection_knows_nothing_later(snapshots: list[Pipeline]) -> None:
    """Whatever becomes of the open deals, what was projected before stays, to the last digit."""
    future = {"milestone": "Won", "closed_at": "2026-09-01", "value": 1.0}
    all_won = deals(
        [{"id": int(number), **future} for number in snapshots[-1].opportunities.index],
        as_of=snapshots[-1].as_of,
    )
    columns = ["day", "month", "currency", "forecast", "p10", "p50", "p90", "floor_crps"]
    figures = []
    for final in (snapshots[-1], all_won):
        table = calibration.backtest_months(
            snapshots[:3], final, horizons=[1], methods=["projection", *NAIVES]
        )
        table = table[table["day"] < pd.Timestamp("2026-04-30", tz="UTC")]
        figures.append(table.loc[table["forecast"] > 0, columns].reset_index(drop=True))
    assert len(figures[0]) > 20
    pd.testing.assert_frame_equal(*figures, check_exact=True)
