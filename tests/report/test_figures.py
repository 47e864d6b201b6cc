"""What a report leads with: the outlook, and the deals that need someone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest
from deals import deals

from capsule_analytics import calibration, forecast, quality
from capsule_analytics.errors import ArgumentError
from capsule_analytics.report import Options, figures_of
from capsule_analytics.report._outlook import Against, CurrencyOutlook, Outlook

if TYPE_CHECKING:
    from capsule_analytics.schema import Pipeline


def month(won: float, expected: float) -> Outlook:
    return Outlook(pd.Period("2026-10", "M"), won, expected, 1_000.0, 9_000.0)


def test_the_sentence_says_range_comparison_and_track() -> None:
    quarter = Outlook(pd.Period("2026Q4", "Q-DEC"), 0.0, 30_000.0, 10_000.0, 50_000.0)
    against = Against(60_000.0, target=True, words="50% of the target of 60K")
    one = CurrencyOutlook("GBP", month(500.0, 4_000.0), quarter, against, "too few months to tell")
    assert one.sentence == (
        "Will probably be won: £4K in October 2026 (£1K to £9K), £500 of it won so far; "
        "£30K in Q4 2026 (£10K to £50K), 50% of the target of 60K. "
        "The ranges hold four of five outcomes; too few months to tell."
    )


def account() -> Pipeline:
    """Two open deals, one won this quarter and one a year ago."""
    return deals(
        [
            {"name": "A", "value": 100, "probability": 50, "expected_close": "2026-11-20"},
            {"name": "B", "value": 900, "probability": 50, "expected_close": "2026-12-20"},
            {"value": 300, "milestone": "Won", "closed_at": "2026-10-02"},
            {"value": 600, "milestone": "Won", "closed_at": "2025-11-02"},
        ]
    )


def test_the_quarter_is_held_against_its_target_else_against_last_year() -> None:
    plain = figures_of(account())
    [one] = plain.outlook
    assert (one.month.won, one.quarter.won) == (300.0, 300.0)
    assert one.against is not None
    assert (one.against.amount, one.against.target) == (600.0, False)
    assert one.against.words.endswith("than the £600 of Q4 2025")
    assert one.track == plain.track_words == "too few months to tell"
    goals = pd.DataFrame({"period": ["2026-Q4"], "currency": ["GBP"], "target": [1200.0]})
    [aimed] = figures_of(account(), Options(targets=goals)).outlook
    assert aimed.against is not None
    assert (aimed.against.amount, aimed.against.target) == (1200.0, True)
    assert aimed.quarter == one.quarter


def test_without_a_projection_nothing_is_projected() -> None:
    figures = figures_of(account(), Options(projection=False))
    assert figures.projection is figures.projected is figures.track is None
    assert figures.outlook == ()
    assert figures.track_words == ""
    assert not {"projection", "track_record"} & {sheet.file for sheet in figures.sheets}
    assert "projection" not in dict(figures.charts)


def test_an_account_without_deals_is_reported() -> None:
    figures = figures_of(deals([]))
    assert figures.outlook == ()
    assert figures.needs.empty
    assert figures.win_rates_by_owner is None
    assert all(sheet.frame is not None for sheet in figures.sheets)


def test_deals_are_linked_where_the_account_has_pages() -> None:
    late = deals([{"name": "A", "value": 1, "expected_close": "2026-10-01"}])
    options = Options(projection=False, web="https://acme.capsulecrm.com")
    [link] = figures_of(late, options).needs["link"]
    assert link == "https://acme.capsulecrm.com/opportunity/1"
    assert figures_of(late, Options(projection=False)).needs["link"].isna().all()


def test_ended_deals_and_the_reasons_they_were_lost_for() -> None:
    pipeline = deals(
        [
            {"milestone": "Won", "value": 5, "closed_at": "2026-01-05"},
            {"milestone": "Lost", "value": 2, "closed_at": "2026-02-05", "lost_reason": "Price"},
            {"milestone": "Lost", "value": 3, "closed_at": "2026-02-05", "lost_reason": "Price"},
            {"milestone": "Lost", "value": 7, "closed_at": "2026-02-05"},
            {"value": 9},
        ]
    )
    assert calibration.ended(pipeline)["won"].tolist() == [1, 0, 0, 0]
    reasons = calibration.lost_reasons(pipeline)
    assert reasons["deals"].tolist() == [2, 1]
    assert reasons["tcv"].tolist() == [5.0, 7.0]
    assert reasons["share"].round(3).tolist() == [0.667, 0.333]
    rates = calibration.win_rates(calibration.ended(pipeline), by=["quarter"])
    assert rates["raw_rate"].tolist() == [0.25]


def test_findings_are_counted_by_owner() -> None:
    late = {"value": 1, "expected_close": "2026-10-01"}
    pipeline = deals([late | {"owner": "ann"}, late | {"owner": "ann"}, late | {"owner": "bo"}])
    table = quality.by_owner(pipeline)
    found = table[table["check"] == "overdue"]
    assert dict(zip(found["owner"], found["deals"], strict=True)) == {"ann": 2, "bo": 1}


def test_ages_by_the_time_at_the_milestone() -> None:
    pipeline = deals(
        [{"value": 5, "created_at": "2026-01-01", "last_stage_changed_at": "2026-10-01"}]
    )
    old = forecast.open_by_age(pipeline)
    new = forecast.open_by_age(pipeline, since="last_stage_changed_at")
    for table, age in ((old, "180-364"), (new, "under 30")):
        assert table.loc[table["open_deals"] > 0, "age"].tolist() == [age]
    with pytest.raises(ArgumentError, match="since must be one of created_at"):
        forecast.open_by_age(pipeline, since="updated_at")  # type: ignore[arg-type]
