"""What must hold for the frame of any account, however its records come."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import orjson
import pandas as pd
import pytest
from deals import MILESTONES
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from capsule_analytics import opportunities_from_pages
from capsule_analytics.load import _columns as _buffers
from capsule_analytics.load import _frame as _assemble
from capsule_analytics.load._frame import Setting, assemble, milestone_frame
from capsule_analytics.schema import RAW_NAMES, Pipeline

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

# Building a frame takes milliseconds, and longer on a busy machine.
enough = settings(max_examples=40, deadline=None)

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
DAYS = st.dates(date(2020, 1, 1), date(2030, 12, 31)).map(date.isoformat)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2030, 12, 31)).map(  # noqa: DTZ001 - UTC below
    lambda moment: f"{moment.replace(microsecond=0).isoformat()}Z"
)
ODD = st.none() | st.booleans() | st.integers() | TEXT | st.lists(st.integers(), max_size=2)
AMOUNTS = st.integers(-(10**9), 10**9) | st.decimals(-(10**6), 10**6, places=2).map(float)


def record(odd: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw raw records whose values are as they should be or, from `odd`, are not."""
    right: dict[str, st.SearchStrategy[Any]] = {
        "name": TEXT,
        "description": TEXT,
        "party_id": st.integers(1, 9),
        "currency": st.sampled_from(["GBP", "EUR"]),
        "value": AMOUNTS,
        "duration_basis": st.sampled_from(["FIXED", "DAY", "MONTH"]),
        "duration": st.integers(0, 36),
        "expected_close": DAYS,
        "milestone": st.sampled_from([m["name"] for m in MILESTONES]),
        "milestone_id": st.integers(1, 6),
        "probability": st.integers(0, 100),
        "owner": st.sampled_from(["ann", "tom"]),
        "created_at": TIMES,
        "closed_at": DAYS,
    }
    return st.fixed_dictionaries({}, optional={name: s | odd for name, s in right.items()})


@st.composite
def records(draw: st.DrawFn, odd: st.SearchStrategy[Any] = ODD) -> list[dict[str, Any]]:
    """Draw records, some of one id; no two of one id were updated at the same time."""
    drawn = draw(st.lists(record(odd), max_size=12))
    ids = draw(st.lists(st.integers(1, 8), min_size=len(drawn), max_size=len(drawn)))
    return [
        {**one, "id": key, "updated_at": f"2026-01-{n:02}T00:00:00Z"}
        for n, (one, key) in enumerate(zip(drawn, ids, strict=True), start=1)
    ]


def pipeline(
    rows: Sequence[dict[str, Any]], sizes: Sequence[int] = (100,), chunk: int = 10_000
) -> Pipeline:
    """Assemble records from pages of the given sizes, taken in turn."""
    pages, at, turn = [], 0, 0
    while at < len(rows):
        part = rows[at : at + sizes[turn % len(sizes)]]
        pages.append({name: [row.get(name) for row in part] for name in RAW_NAMES})
        at, turn = at + len(part), turn + 1
    with patch.object(_buffers, "_AT_ONCE", chunk):
        return assemble(
            pages,
            typed=True,
            milestones=milestone_frame(MILESTONES, typed=True),
            currencies=["GBP", "EUR"],
            loaded_at=pd.Timestamp("2026-10-15", tz="UTC"),
            as_of=date(2026, 10, 15),
            account="test",
        )


def assert_same(left: Pipeline, right: Pipeline) -> None:
    pd.testing.assert_frame_equal(left.opportunities, right.opportunities)
    pd.testing.assert_frame_equal(left.issues, right.issues)


@enough
@given(records(), st.randoms(use_true_random=False), st.lists(st.integers(1, 5), min_size=1))
def test_neither_order_nor_page_size_matters(
    rows: list[dict[str, Any]], chance: random.Random, sizes: list[int]
) -> None:
    shuffled = chance.sample(rows, len(rows))
    assert_same(pipeline(rows), pipeline(shuffled, sizes))


@enough
@given(records(), st.integers(1, 4), st.integers(1, 3))
def test_it_does_not_matter_how_many_are_typed_at_once(
    rows: list[dict[str, Any]], chunk: int, size: int
) -> None:
    assert_same(pipeline(rows), pipeline(rows, [size], chunk))


@enough
@given(records())
def test_each_opportunity_is_there_once_and_none_is_lost(rows: list[dict[str, Any]]) -> None:
    frame = pipeline(rows).opportunities
    assert frame.index.tolist() == sorted({row["id"] for row in rows})
    newest = {row["id"]: row for row in rows}  # later ones were updated later
    assert frame["updated_at"].dt.day.tolist() == [
        int(newest[key]["updated_at"][8:10]) for key in frame.index
    ]


@enough
@given(records())
def test_reading_a_list_twice_adds_nothing(rows: list[dict[str, Any]]) -> None:
    once, twice = pipeline(rows), pipeline([*rows, *rows])
    pd.testing.assert_frame_equal(once.opportunities, twice.opportunities)


@enough
@given(records())
def test_the_figures_keep_their_bounds_and_their_types(rows: list[dict[str, Any]]) -> None:
    made = pipeline(rows)
    frame, empty = made.opportunities, pipeline([]).opportunities
    assert frame.columns.tolist() == empty.columns.tolist()
    assert [str(d) for d in frame.dtypes] == [str(d) for d in empty.dtypes]
    assert frame["probability"].dropna().between(0, 1).all()
    assert (frame["status"].notna()).all()
    assert (frame.loc[frame["status"] == "won", "probability"] == 1).all()
    assert (frame.loc[frame["status"] == "lost", "probability"] == 0).all()
    assert np.isfinite(frame["tcv"].dropna()).all()
    fixed = frame["duration_basis"].isna() | (frame["duration_basis"] == "FIXED")
    assert frame.loc[fixed, "tcv"].equals(frame.loc[fixed, "value"].rename("tcv"))


@enough
@given(records())
def test_findings_name_opportunities_that_are_there(rows: list[dict[str, Any]]) -> None:
    made = pipeline(rows)
    assert set(made.issues["opportunity_id"]) <= set(made.opportunities.index)
    assert set(made.issues["severity"]) <= {"error", "warning", "info"}
    # Whatever makes a deal count for less than it may be worth is told.
    unknown = made.opportunities.index[made.opportunities["tcv"].isna()]
    errors = made.issues[made.issues["severity"] == "error"]
    assert set(unknown) <= set(errors["opportunity_id"])


@enough
@given(records(), st.integers(0, 5))
def test_leaving_out_what_is_gone_leaves_the_rest_as_it_is(
    rows: list[dict[str, Any]], gone: int
) -> None:
    assembler = _assemble.Assembler(typed=True)
    assembler.add({name: [row.get(name) for row in rows] for name in RAW_NAMES})
    milestones = milestone_frame(MILESTONES, typed=True)
    frame, findings = assembler.finish(Setting(milestones), gone=frozenset({gone}))
    without = _assemble.Assembler(typed=True)
    rest = [row for row in rows if row["id"] != gone]
    without.add({name: [row.get(name) for row in rest] for name in RAW_NAMES})
    expected, expected_findings = without.finish(Setting(milestones))
    pd.testing.assert_frame_equal(frame, expected)
    assert sorted(findings) == sorted(expected_findings)


def as_v1(rows: Sequence[dict[str, Any]]) -> bytes:
    root = etree.Element("opportunities")
    elements = {
        "id": "id", "name": "name", "party_id": "partyId", "currency": "currency",
        "value": "value", "duration_basis": "durationBasis", "duration": "duration",
        "expected_close": "expectedCloseDate", "milestone": "milestone",
        "probability": "probability", "owner": "owner", "created_at": "createdOn",
        "updated_at": "updatedOn", "closed_at": "actualCloseDate",
    }  # fmt: skip
    for row in rows:
        element = etree.SubElement(root, "opportunity")
        for name, tag in elements.items():
            if row.get(name) is not None:
                text = str(row[name])
                dated = name in {"expected_close", "closed_at"}
                etree.SubElement(element, tag).text = text + "T00:00:00Z" * dated
    return bytes(etree.tostring(root, encoding="UTF-8"))


def as_v2(rows: Sequence[dict[str, Any]]) -> bytes:
    return orjson.dumps(
        {
            "opportunities": [
                {
                    "id": row["id"],
                    "name": row.get("name"),
                    "party": {"id": row.get("party_id")},
                    "value": {"amount": row.get("value"), "currency": row.get("currency")},
                    "durationBasis": row.get("duration_basis"),
                    "duration": row.get("duration"),
                    "expectedCloseOn": row.get("expected_close"),
                    "milestone": {"name": row.get("milestone")},
                    "probability": row.get("probability"),
                    "owner": row.get("owner") and {"username": row["owner"]},
                    "createdAt": row.get("created_at"),
                    "updatedAt": row["updated_at"],
                    "closedOn": row.get("closed_at"),
                }
                for row in rows
            ]
        }
    )


@enough
@given(records(odd=st.none()), st.integers(1, 4))
def test_saved_pages_of_both_versions_give_one_frame(rows: list[dict[str, Any]], size: int) -> None:
    parts = [rows[at : at + size] for at in range(0, len(rows), size)]
    milestones = milestone_frame(MILESTONES, typed=True)
    first = opportunities_from_pages(map(as_v1, parts), "v1", milestones)
    second = opportunities_from_pages(map(as_v2, parts), "v2", milestones)
    pd.testing.assert_frame_equal(first, second)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(-1e300, 1e300) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["id", "name", "username", "amount", "currency", "lastOpenMilestone"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=4,
)
KEYS = [
    "id", "name", "description", "party", "value", "milestone", "owner", "team", "lostReason",
    "expectedCloseOn", "probability", "durationBasis", "duration", "closedOn", "createdAt",
    "updatedAt", "tags", "fields",
]  # fmt: skip


@enough
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), JSON), max_size=4))
def test_no_json_breaks_the_frame_or_makes_a_record_disappear(rows: list[dict[str, Any]]) -> None:
    sound = {"id": 77, "name": "Sound", "value": {"amount": 5, "currency": "GBP"}}
    odd = [row for row in rows if str(row.get("id")) not in {"77", "77.0"}]
    body = orjson.dumps({"opportunities": [*odd, sound]})
    frame = opportunities_from_pages([body], api_version="v2")
    assert frame["tcv"].loc[77] == 5
    given_ids = [row.get("id") for row in odd]
    whole = {key for key in given_ids if isinstance(key, int) and not isinstance(key, bool)}
    assert {key for key in whole if key < 2**63} <= set(frame.index)
    nameless = sum(
        not isinstance(key, int | float | str) or isinstance(key, bool) for key in given_ids
    )
    assert len(frame) >= 1 + len({key for key in whole if key < 2**63}) + nameless


@enough
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(
                ["id", "name", "value", "duration", "expectedCloseDate", "updatedOn", "milestoneId"]
            ),
            TEXT,
        ),
        max_size=4,
    )
)
def test_no_xml_text_breaks_the_frame_or_makes_a_record_disappear(
    rows: list[dict[str, str]],
) -> None:
    root = etree.Element("opportunities")
    for row in [*rows, {"id": "77", "value": "5"}]:
        element = etree.SubElement(root, "opportunity")
        for tag, text in row.items():
            etree.SubElement(element, tag).text = text.replace("\ufffe", "").replace("\uffff", "")
    frame = opportunities_from_pages([etree.tostring(root)])
    assert frame["tcv"].loc[77] == 5
    assert (frame.index < 0).sum() >= sum("id" not in row for row in rows)


@pytest.mark.parametrize("hours", [-12, -1, 0, 1, 14])
def test_a_close_date_is_the_same_day_wherever_it_was_written(hours: int) -> None:
    zone = f"{'-' if hours < 0 else '+'}{abs(hours):02}:00"
    days = pd.date_range("2026-01-01", "2026-12-31", tz=UTC)
    rows = [
        {"id": n, "expected_close": f"{day:%Y-%m-%d}T{n % 24:02}:30:00{zone}"}
        for n, day in enumerate(days)
    ]
    closes = pipeline(rows).opportunities["expected_close"]
    assert closes.tolist() == days.tolist()
