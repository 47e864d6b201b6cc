"""Which open deals need someone, which few come first, and what is only worth knowing."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from deals import deals

from capsule_analytics import attention
from capsule_analytics.report import Options, figures_of

if TYPE_CHECKING:
    from capsule_analytics.report import Figures

LATE = {"expected_close": "2026-10-01", "probability": 50}


def figures(rows: list[dict[str, Any]]) -> Figures:
    return figures_of(deals(rows), Options(projection=False))


def urgencies(rows: list[dict[str, Any]]) -> dict[str, str]:
    return attention.needing(deals(rows)).set_index("name")["urgency"].to_dict()


def test_who_needs_someone_and_why() -> None:
    rows = [
        {"name": "late", "value": 100, "probability": 50, "expected_close": "2026-10-14"},
        {"name": "fine", "value": 9_000, "probability": 50, "expected_close": "2026-12-01"},
        {"name": "falls", "value": 9_900, "probability": 30, "expected_close": "2026-12-01"},
        {"name": "won", "value": 50, "milestone": "Won", "closed_at": "2026-10-02"},
    ]
    earlier = [row | {"probability": 50} for row in rows[:3]]
    days = []
    for day, close in ((date(2026, 7, 31), "2026-09-01"), (date(2026, 8, 31), "2026-10-10")):
        earlier[1] = earlier[1] | {"expected_close": close}
        days.append(deals(earlier, as_of=day))
    table = attention.needing(deals(rows), days[-1], days)
    assert table.set_index("name")["reason"].to_dict() == {
        "falls": "large, and its probability fell from 50% to 30% since 2026-08-31",
        "fine": "pushed out 2 times, by 91 days",
        "late": "overdue for 1 day",
    }
    # 9,000 and 9,900 at 50 and 30 %, and 100 at 50 %: the first holds more than half of 7,520.
    assert table["name"].tolist() == ["fine", "falls", "late"]
    assert table["stake"].tolist() == [4500.0, 2970.0, 50.0]
    assert table["urgency"].tolist() == ["first", "next", "next"]
    alone = attention.needing(deals(rows))
    assert alone["name"].tolist() == ["late"]


def test_silence_over_a_large_deal_needs_someone_and_over_a_small_one_is_worth_knowing() -> None:
    silent = {"expected_close": "2026-12-01", "last_contacted_at": "2026-06-01T00:00:00Z"}
    rows = [{**silent, "name": str(value), "value": value} for value in (10, 20, 30, 40)]
    table = attention.needing(deals(rows))
    # The upper quarter of 10, 20, 30, 40 begins at 32.5.
    assert table["urgency"].tolist() == ["first", "note", "note", "note"]
    assert table["name"].tolist() == ["40", "30", "20", "10"]
    assert table["reason"].str.startswith("no word with the customer for 136 days").all()


def test_empty_fields_are_only_worth_knowing() -> None:
    table = attention.needing(
        deals([{"name": "A", "value": 5, "missing_important_fields": True}, {"name": "B"}])
    )
    assert table[["name", "urgency", "reason"]].to_numpy().tolist() == [
        ["A", "note", "important fields are empty"]
    ]


def test_the_first_are_the_fewest_that_hold_half() -> None:
    # Stakes 30, 20, 20, 15, 15 of 100: the first two hold exactly half.
    rows = [
        {**LATE, "name": name, "value": value}
        for name, value in (("e", 30), ("a", 60), ("c", 40), ("b", 40), ("d", 30))
    ]
    assert urgencies(rows) == {"a": "first", "c": "first", "b": "next", "e": "next", "d": "next"}


def test_the_first_are_at_most_a_dozen() -> None:
    rows = [{**LATE, "name": str(number), "value": 10} for number in range(40)]
    assert list(urgencies(rows).values()) == ["first"] * 12 + ["next"] * 28


@pytest.mark.parametrize("value", [None, 0, -5])
def test_a_deal_with_nothing_at_stake_is_not_among_the_first(value: int | None) -> None:
    rows = [{**LATE, "name": "A", "value": value}, {**LATE, "name": "B", "currency": "EUR"}]
    assert urgencies(rows) == {"A": "next", "B": "next"}
    assert [one.sentence for one in figures(rows).attention] == ["1 deal needs someone."] * 2


def test_the_sentence_names_the_first_and_says_what_they_hold() -> None:
    # At stake: 40 + 20 + 10 + 8 + 2 of GBP; the largest alone holds 40 of 80.
    rows = [
        {**LATE, "name": name, "value": value}
        for name, value in (("A\x1b[2J", 80), ("B", 40), ("C", 20), ("D", 16), ("E", 4))
    ]
    rows.append({**LATE, "value": 10, "currency": "EUR"})
    gbp, eur = figures(rows).attention
    assert gbp.sentence == (
        "1 of 5 deals that need someone holds 50% of the £80 at stake: A\\x1b[2J (£40)."
    )
    assert eur.sentence == "1 deal needs someone, with €5 at stake: deal 6 (€5)."
    shares = [{**LATE, "name": "x" * 90, "value": 10}] * 5
    (gbp,) = figures(shares).attention
    named = f"{'x' * 39}… (£5)"
    assert gbp.sentence == (
        "3 of 5 deals that need someone hold 60% of the £25 at stake: "
        f"{named}, {named} and {named}."
    )


def test_nobody_is_needed() -> None:
    calm = figures([{"name": "A", "value": 5, "expected_close": "2026-12-01"}])
    assert calm.attention == ()
    assert calm.needs.empty
