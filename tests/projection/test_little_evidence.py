"""Where an account tells little the projection is wide and flagged, never an error or narrow."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
from grown_accounts import month_end, pipeline

from capsule_analytics.projection import fit

TODAY = date(2026, 3, 31)


def ended(count: int, won: int, tcv: float = 1000.0) -> list[dict[str, Any]]:
    days = [np.datetime64("2025-04-03") + 7 * n % 350 for n in range(count)]
    return [
        {
            "status": "won" if n < won else "lost",
            "created_at": str(day - 40),
            "closed_at": str(day),
            "tcv": tcv,
        }
        for n, day in enumerate(days)
    ]


OPEN = [
    {"created_at": "2026-02-01", "expected_close": "2026-04-20", "tcv": 2000.0},
    {"created_at": "2026-01-01", "expected_close": "2026-05-20", "tcv": 500.0},
]


@pytest.mark.parametrize(
    ("count", "won"), [(0, 0), (1, 0), (1, 1), (5, 2), (5, 5), (30, 0), (30, 30), (30, 10)]
)
def test_any_number_of_ended_deals_gives_a_range(count: int, won: int) -> None:
    model = fit(pipeline([*ended(count, won), *OPEN], TODAY))
    table = model.by_month(months=3)
    assert len(table) == 3
    assert table["expected_value"].gt(0).all()
    assert (table["p10"] <= table["p50"]).all()
    assert (table["p50"] <= table["p90"]).all()
    assert model.basis.is_thin == (count < 30 or won == 0)
    assert ("general experience" in str(model.basis)) == model.basis.is_thin
    year = model.distribution("2026-04-01", "2027-04-01")
    assert year.quantile(0.9) > 1.5 * year.quantile(0.1)


def test_nothing_at_all_is_projected_as_nothing() -> None:
    model = fit(pipeline([], TODAY))
    assert model.by_month().empty
    assert model.deals().empty
    assert "nothing" in repr(model)
    assert model.distribution("2026-04-01", "2026-05-01").mean == 0.0


def test_a_single_new_deal_is_projected() -> None:
    table = fit(pipeline(OPEN[:1], TODAY)).by_month(months=2)
    assert table["expected_value"].between(1, 2000).all()


def test_never_won_is_not_taken_as_never() -> None:
    model = fit(pipeline([*ended(30, 0), *OPEN], TODAY))
    assert 0 < model.deals()["won_within_year"].max() < 0.5


def test_one_huge_deal_does_not_make_others_of_its_size() -> None:
    rows = [*ended(60, 25), *OPEN]
    whale = {"status": "won", "created_at": "2025-06-01", "closed_at": "2025-09-09", "tcv": 1e6}
    usual = fit(pipeline(rows, TODAY)).distribution("2026-04-01", "2026-07-01").mean
    after = fit(pipeline([*rows, whale], TODAY)).distribution("2026-04-01", "2026-07-01").mean
    assert after < 2 * usual


def test_one_huge_open_deal_leaves_the_rest_visible() -> None:
    rows = [*ended(60, 25), *OPEN * 10]
    usual = fit(pipeline(rows, TODAY)).distribution("2026-04-01", "2026-07-01")
    whale = {"created_at": "2026-02-01", "expected_close": "2026-05-20", "tcv": 5e6}
    law = fit(pipeline([*rows, whale], TODAY)).distribution("2026-04-01", "2026-07-01")
    assert law.quantile(0.3) == pytest.approx(usual.quantile(0.3), rel=0.35)
    assert law.cdf(4e6) < 0.99


def test_odd_records_neither_stop_nor_bend_it() -> None:
    rows = [*ended(40, 15), *OPEN]
    usual = fit(pipeline(rows, TODAY)).by_month(months=3)["expected_value"]
    odd = [
        {"created_at": "2026-01-05", "tcv": None, "expected_close": "2026-04-20"},
        {"created_at": "2026-01-05", "tcv": -300.0, "expected_close": "2026-04-20"},
        {"created_at": "2026-01-05", "expected_close": "3000-01-01"},
        {"created_at": None, "probability": None, "milestone": None, "owner": None},
        {"created_at": "2026-02-05", "closed_at": "2025-11-01", "status": "won"},
        {"created_at": "2026-02-05", "closed_at": None, "status": "won"},
        {"created_at": "2026-02-05", "currency": None},
        {"created_at": "2999-02-05"},
    ]
    model = fit(pipeline([*rows, *odd], TODAY))
    table = model.by_month(months=3)
    euros = table.loc[table["currency"] == "EUR", "expected_value"].to_numpy()
    # Four more deals are open in euros, and two more won.
    assert (euros > usual.to_numpy()).all()
    assert (euros < 5 * usual.to_numpy()).all()
    assert table["currency"].isna().sum() == 3
    assert len(model.deals()) == len(OPEN) + 6


def test_a_month_of_history() -> None:
    rows = [{"created_at": "2024-01-10", "expected_close": "2024-03-01"} for _ in range(6)]
    model = fit([pipeline(rows, month_end(0))])
    assert model.by_month(months=2)["p90"].iloc[-1] > 0
