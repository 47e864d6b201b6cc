"""What forecasts said months ahead, against what was won."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from deals import deals

from capsule_analytics import calibration
from capsule_analytics.errors import ArgumentError
from capsule_analytics.history import sample_history

if TYPE_CHECKING:
    from capsule_analytics.schema import Pipeline


JANUARY, FEBRUARY, APRIL = date(2026, 1, 31), date(2026, 2, 28), date(2026, 4, 30)


@pytest.fixture(scope="module")
def snapshots() -> list[Pipeline]:
    return sample_history()


def open_deal(number: int, value: float, percent: int, close: str, **more: Any) -> dict[str, Any]:
    return {
        "id": number, "value": value, "probability": percent, "expected_close": close,
        "created_at": "2026-01-01T00:00:00Z", **more,
    }  # fmt: skip


def won(number: int, value: float, on: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "value": value, "milestone": "Won", "closed_at": on, **more}


def lost(number: int, on: str) -> dict[str, Any]:
    return {"id": number, "value": 1.0, "milestone": "Lost", "closed_at": on}


AT_JANUARY = deals(
    [
        open_deal(1, 1000.0, 50, "2026-02-10"),
        open_deal(2, 400.0, 25, "2026-02-20"),
        open_deal(3, 600.0, 50, "2026-01-20"),  # overdue
        open_deal(4, 900.0, 90, "2026-03-20"),
        open_deal(5, 200.0, 50, "2026-02-10", currency="EUR"),
    ],
    as_of=JANUARY,
)
AT_FEBRUARY = deals(
    [
        won(1, 1000.0, "2026-02-25"),
        open_deal(2, 400.0, 25, "2026-03-20"),
        lost(3, "2026-02-02"),
        open_deal(4, 900.0, 90, "2026-03-20"),
        open_deal(5, 200.0, 50, "2026-05-10", currency="EUR"),
    ],
    as_of=FEBRUARY,
)
FINAL = deals(
    [
        won(1, 1000.0, "2026-02-25"),
        won(2, 400.0, "2026-03-31"),
        lost(3, "2026-02-02"),
        lost(4, "2026-03-10"),
        open_deal(5, 200.0, 50, "2026-05-10", currency="EUR"),
        won(6, 70.0, "2026-02-27"),  # not yet there in January
    ],
    as_of=APRIL,
)


def only(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    for name, value in values.items():
        table = table[table[name] == value]
    return table


def test_months_by_hand() -> None:
    table = calibration.backtest_months(
        [AT_JANUARY], FINAL, horizons=[1], methods=["stated", "rolled"]
    )
    stated = only(table, method="stated", currency="GBP").iloc[0]
    assert (str(stated["month"]), stated["day"]) == (
        "2026-02",
        pd.Timestamp("2026-01-31", tz="UTC"),
    )
    assert stated["forecast"] == 0.5 * 1000 + 0.25 * 400
    # The totals 0, 400, 1000, 1400 have the chances 3/8, 1/8, 3/8, 1/8.
    assert stated[["p10", "p50", "p90"]].tolist() == [0.0, 400.0, 1400.0]
    assert (stated["actual"], stated["actual_known"]) == (1070.0, 1000.0)
    rolled = only(table, method="rolled", currency="GBP").iloc[0]
    assert rolled["forecast"] == 600 + 0.5 * 600  # the overdue deal moves to February


def test_currency_in_which_nothing_was_won_is_scored_too() -> None:
    table = calibration.backtest_months([AT_JANUARY], FINAL, horizons=[1], methods=["stated"])
    euro = only(table, currency="EUR").iloc[0]
    assert (euro["forecast"], euro["actual"]) == (100.0, 0.0)


def test_months_to_come_are_not_scored() -> None:
    """In February a deal was due in May, three months on; the account is read in April, or June."""
    april = calibration.backtest_months([AT_FEBRUARY], FINAL, methods=["stated"])
    assert april["month"].astype(str).unique().tolist() == ["2026-03"]
    june = calibration.backtest_months(
        [AT_FEBRUARY], deals([], as_of=date(2026, 6, 15)), methods=["stated"]
    )
    assert june["month"].astype(str).unique().tolist() == ["2026-03", "2026-05"]
    march = deals([], as_of=date(2026, 3, 30))
    with pytest.raises(ArgumentError, match="no month to score"):
        calibration.backtest([AT_FEBRUARY], march, horizons=[1])


def test_the_present_month_counts_what_is_won_already() -> None:
    table = calibration.backtest_months([AT_FEBRUARY], FINAL, horizons=[0], methods=["stated"])
    assert only(table, currency="GBP")[["forecast", "actual"]].iloc[0].tolist() == [1000.0, 1070.0]


def test_scores_by_hand() -> None:
    """January says 600 for February, when 1,070 came; February 910 for March, when 400 did."""
    table = calibration.backtest([AT_FEBRUARY, AT_JANUARY], FINAL, horizons=[1], methods=["stated"])
    row = only(table, currency="GBP").iloc[0]
    assert row["months"] == 2
    assert (row["forecast"], row["actual"]) == (600 + 910, 1470)
    assert row["known_share"] == pytest.approx(1400 / 1470)
    assert row["bias"] == pytest.approx((1510 - 1470) / 1470)
    assert row["wape"] == pytest.approx((470 + 510) / 1470)
    # February: P10 0, P50 400, P90 1400. March: the totals 0, 400, 900, 1300 have the chances
    # .075, .025, .675, .225, so P10 is 400 (reached at .1), P50 900, P90 900 (at .775) or 1300.
    months = calibration.backtest_months(
        [AT_FEBRUARY, AT_JANUARY], FINAL, horizons=[1], methods=["stated"]
    )
    march = only(months, currency="GBP", day=pd.Timestamp("2026-02-28", tz="UTC")).iloc[0]
    assert march[["p10", "p50", "p90"]].tolist() == [400.0, 900.0, 1300.0]
    assert row["pinball_p10"] == pytest.approx((0.1 * 1070 + 0) / 2)
    assert row["pinball_p50"] == pytest.approx((0.5 * 670 + 0.5 * 500) / 2)
    assert row["pinball_p90"] == pytest.approx((0.1 * 330 + 0.1 * 900) / 2)
    assert row["inside"] == 1.0


def test_shares_of_nothing_are_missing() -> None:
    table = calibration.backtest([AT_JANUARY], FINAL, horizons=[1], methods=["stated"])
    row = only(table, currency="EUR").iloc[0]
    assert row[["known_share", "bias", "wape"]].isna().all()
    assert row["pinball_p50"] == pytest.approx(0.5 * 0)


def test_calibration_uses_nothing_later_than_the_snapshot(snapshots: list[Pipeline]) -> None:
    """Whatever becomes of the open deals, what was said before stays said."""
    day = 5
    future = {"milestone": "Won", "closed_at": "2026-09-01", "value": 1.0}
    all_won = deals(
        [{"id": int(number), **future} for number in snapshots[-1].opportunities.index],
        as_of=snapshots[-1].as_of,
    )
    figures = [
        calibration.backtest_months(chosen, final, horizons=[1, 2], methods=["calibrated"])
        for chosen, final in (
            (snapshots[: day + 1], snapshots[-1]),
            (snapshots[: day + 1], all_won),
            ([*snapshots[: day + 1], all_won], all_won),
        )
    ]
    said = [
        table.loc[table["forecast"] > 0, ["day", "currency", "forecast", "p10", "p90"]]
        for table in figures
    ]
    assert len(said[0]) > 20
    for other in said[1:]:
        pd.testing.assert_frame_equal(said[0].reset_index(drop=True), other.reset_index(drop=True))


def test_calibrated_policy_forecasts_with_calibrated_probabilities(
    snapshots: list[Pipeline],
) -> None:
    learnt = calibration.fit(calibration.outcomes(snapshots[8:10], snapshots[10]))
    frame = snapshots[10].opportunities
    chances = calibration.calibrate(snapshots[10], learnt).opportunities["calibrated"]
    due = frame[
        (frame["status"] == "open")
        & (frame["currency"] == "GBP")
        & (frame["expected_close"].dt.strftime("%Y-%m") == "2026-03")
    ]
    table = calibration.backtest_months(
        snapshots[8:11], snapshots[-1], horizons=[1], methods=["calibrated"]
    )
    march = only(table, currency="GBP", month=pd.Period("2026-03", "M"))
    assert str(snapshots[10].as_of) == "2026-02-28"
    assert march["forecast"].iloc[0] == pytest.approx((due["tcv"] * chances).sum())


def test_calibration_pays_on_the_sample_account(snapshots: list[Pipeline]) -> None:
    """The stated probabilities there are too high; corrected ones miss by less."""
    table = calibration.backtest(
        snapshots[6:], snapshots[-1], horizons=[1], methods=["stated", "calibrated", "rolled"]
    )
    pounds = only(table, currency="GBP").set_index("method")
    assert (pounds["months"] == 11).all()
    for score in ("bias", "wape", "pinball_p10", "pinball_p50"):
        assert 0 < pounds.loc["calibrated", score] < pounds.loc["stated", score]
        assert pounds.loc["stated", score] < pounds.loc["rolled", score]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["guess"]}, "guess"),
        ({"methods": []}, "methods must be some of"),
        ({"methods": ["stated", "stated"]}, "once"),
        ({"horizons": []}, "horizons"),
        ({"horizons": [-1]}, "horizons"),
    ],
)
def test_invalid_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        calibration.backtest([AT_JANUARY], FINAL, **options)


def test_no_snapshots() -> None:
    with pytest.raises(ArgumentError, match="none of 0 snapshots"):
        calibration.backtest([], FINAL)
