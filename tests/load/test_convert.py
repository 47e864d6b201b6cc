"""Raw values of a column to typed arrays: what is read, what is missing, and what is reported."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule_analytics.load import _values as convert
from capsule_analytics.load._values import Problem


def read(kind: str, raw: list[Any], **typed: bool) -> tuple[list[Any], list[Problem]]:
    """Convert a column called ``x``; NaN and NaT come back as None."""
    problems: list[Problem] = []
    values = getattr(convert, kind)("x", raw, problems, **typed)
    match kind:
        case "integers":
            missing = values.isna()
        case "texts":
            missing = [value is None for value in values]
        case _:
            missing = np.isnan(values) if kind == "numbers" else np.isnat(values)
    return [None if gone else value for value, gone in zip(values, missing, strict=True)], problems


patient = settings(deadline=None)  # the machine may be busy


# Numbers


@pytest.mark.parametrize("typed", [True, False])
def test_no_values_at_all(typed: bool) -> None:
    for kind in ("numbers", "integers"):
        assert read(kind, [], typed=typed) == ([], [])
        assert read(kind, [None, None], typed=typed) == ([None, None], [])


def test_numbers_of_json() -> None:
    assert read("numbers", [1, 2.5, None, -0.1, 0], typed=True) == ([1.0, 2.5, None, -0.1, 0.0], [])


def test_numbers_of_xml() -> None:
    assert read("numbers", ["1", "2.50", None, "-.1", "1e3", " 7 "], typed=False) == (
        [1.0, 2.5, None, -0.1, 1000.0, 7.0],
        [],
    )


def test_text_where_json_has_numbers_is_read_and_reported() -> None:
    assert read("numbers", [1, "2.5"], typed=True) == (
        [1.0, 2.5],
        [Problem(1, "text_number", "x is text: '2.5'")],
    )


@pytest.mark.parametrize(
    "odd", ["12k", "12,500", "", "NaN", "nan", "inf", "-Infinity", "1e999", "£5", "½", "0x10"]
)
@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("kind", ["numbers", "integers"])
def test_text_that_is_no_number(odd: str, typed: bool, kind: str) -> None:
    others = [1, None] if typed else ["1", None]
    assert read(kind, [*others, odd], typed=typed) == (
        [1, None, None],
        [Problem(2, "not_a_number", f"x is {odd!r}")],
    )


@pytest.mark.parametrize("odd", [True, False, [1], {"amount": 1}, (), b"1"])
@pytest.mark.parametrize("kind", ["numbers", "integers"])
def test_things_that_are_no_number(odd: Any, kind: str) -> None:
    assert read(kind, [odd, 1], typed=True) == (
        [None, 1],
        [Problem(0, "not_a_number", f"x is {odd!r}")],
    )


def test_infinite_numbers_are_none() -> None:
    values, problems = read("numbers", [math.inf, math.nan, None, 1.0], typed=True)
    assert values == [None, None, None, 1.0]
    assert [problem.row for problem in problems] == [0, 1]


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("value", [1e18, -1e300, 10**18, 2**64 - 1])
def test_an_amount_that_would_swallow_every_total_is_missing(value: float, typed: bool) -> None:
    raw, other = (value, 1) if typed else (repr(value), "1")
    assert read("numbers", [raw, other], typed=typed) == (
        [None, 1.0],
        [Problem(0, "not_a_number", f"x is {raw!r}")],
    )
    assert read("numbers", [9e17, None], typed=True) == ([9e17, None], [])


@patient
@given(st.lists(st.none() | st.floats(-1e17, 1e17)))
def test_every_number_comes_back_from_json_and_from_xml(values: list[float | None]) -> None:
    assert read("numbers", values, typed=True) == (values, [])
    written = [None if value is None else repr(value) for value in values]
    assert read("numbers", written, typed=False) == (values, [])


# Integers


@patient
@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)), st.sampled_from(["", "x"]))
def test_every_integer_comes_back_exactly(values: list[int | None], odd: str) -> None:
    assert read("integers", values, typed=True) == (values, [])
    written = [None if value is None else str(value) for value in values]
    assert read("integers", written, typed=False) == (values, [])
    # Beside something odd each value is read by itself; that must make no difference.
    beside, problems = read("integers", [*written, odd], typed=False)
    assert beside == [*values, None]
    assert problems == [Problem(len(values), "not_a_number", f"x is {odd!r}")]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2.5, "2.5"),
        (2**63, "9223372036854775808"),
        (-(2**63) - 1, "-9223372036854775809"),
        (1e30, "1e+30"),
    ],
)
def test_what_is_not_whole_or_too_large_is_missing(value: float, shown: str) -> None:
    assert read("integers", [value, 3], typed=True) == (
        [None, 3],
        [Problem(0, "not_a_number", f"x is {shown}, not whole")],
    )
    assert read("integers", [repr(value), "3"], typed=False) == (
        [None, 3],
        [Problem(0, "not_a_number", f"x is {shown}, not whole")],
    )


def test_whole_numbers_written_as_decimals_are_whole() -> None:
    assert read("integers", [3.0, 4], typed=True) == ([3, 4], [])
    assert read("integers", ["3.0", "4", "5e2"], typed=False) == ([3, 4, 500], [])


def test_text_where_json_has_integers_is_read_and_reported() -> None:
    assert read("integers", ["7", None], typed=True) == (
        [7, None],
        [Problem(0, "text_number", "x is text: '7'")],
    )


# Text


@patient
@given(st.lists(st.none() | st.text(min_size=1)))
def test_text_comes_back_as_it_was(values: list[str | None]) -> None:
    assert read("texts", values) == (values, [])


def test_empty_text_is_absent() -> None:
    assert read("texts", ["", "a", None, " "]) == ([None, "a", None, " "], [])


@pytest.mark.parametrize("beside", ["", "a"])
def test_what_is_no_text_is_shown_as_text_whatever_stands_beside_it(beside: str) -> None:
    values, problems = read("texts", [0, False, [], ["a", "b"], ["c", "d"], {"k": 1}, beside])
    assert values == ["0", "False", "[]", "['a', 'b']", "['c', 'd']", "{'k': 1}", beside or None]
    assert problems == [
        Problem(0, "not_text", "x is 0"),
        Problem(1, "not_text", "x is False"),
        Problem(2, "not_text", "x is []"),
        Problem(3, "not_text", "x is ['a', 'b']"),
        Problem(4, "not_text", "x is ['c', 'd']"),
        Problem(5, "not_text", "x is {'k': 1}"),
    ]


def test_a_long_value_is_shown_cut() -> None:
    _, problems = read("numbers", ["9" * 500 + "x"], typed=False)
    assert problems[0].detail.startswith("x is '999")
    assert problems[0].detail.endswith("…")
    assert len(problems[0].detail) <= len("x is ") + 80


def test_the_raw_values_are_not_changed() -> None:
    raw: list[Any] = ["", 0, None, "2026-03-31", ["a"]]
    before = list(raw)
    for kind in ("texts", "dates", "timestamps"):
        read(kind, raw)
    for kind in ("numbers", "integers"):
        read(kind, raw, typed=True)
    assert raw == before


# Days


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-31",
        "2026-03-31T00:00:00Z",
        "2026-03-31T23:59:59-12:00",
        " 2026-03-31",
        "2026-03-31T",
    ],
)
def test_the_day_is_in_the_first_ten_characters(text: str) -> None:
    assert read("dates", [text, None]) == ([np.datetime64("2026-03-31"), None], [])


@pytest.mark.parametrize(
    "odd",
    [
        "0000-00-00",
        "2019-13-45",
        "2026-02-29",
        "31/03/2026",
        "soon",
        " ",
        "1899-12-31",
        "2200-01-01",
    ],
)
@pytest.mark.parametrize("kind", ["dates", "timestamps"])
def test_what_is_no_day_is_missing_and_reported_each_time(odd: str, kind: str) -> None:
    assert read(kind, [odd, "2026-03-31", odd]) == (
        [None, np.datetime64("2026-03-31"), None],
        [Problem(0, "bad_date", f"x is {odd!r}"), Problem(2, "bad_date", f"x is {odd!r}")],
    )


def test_the_first_and_the_last_day() -> None:
    days = ["1900-01-01", "2199-12-31"]
    assert read("dates", days) == ([np.datetime64(day) for day in days], [])
    moments = ["1900-01-01T00:00:00Z", "2199-12-31T23:59:59Z"]
    assert read("timestamps", moments) == ([np.datetime64(text[:-1]) for text in moments], [])


def test_no_text_is_no_day() -> None:
    values, problems = read("dates", [20260331, None])
    # ISO 8601 also writes a day without hyphens.
    assert values == [np.datetime64("2026-03-31"), None]
    assert [problem.check for problem in problems] == ["not_text"]
    values, problems = read("dates", [[2026, 3, 31]])
    assert values == [None]
    assert {problem.check for problem in problems} == {"not_text", "bad_date"}


# Points in time


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-31T09:15:00Z", "2026-03-31T09:15:00"),
        ("2026-03-31T09:15:00", "2026-03-31T09:15:00"),
        ("2026-03-31T09:15:00.125Z", "2026-03-31T09:15:00.125"),
        ("2026-03-31T09:15:00+02:00", "2026-03-31T07:15:00"),
        ("2026-03-31T23:30:00-0200", "2026-04-01T01:30:00"),
        ("2026-03-31", "2026-03-31T00:00:00"),
        (" 2026-03-31T09:15:00Z\n", "2026-03-31T09:15:00"),
    ],
)
def test_a_time_is_read_as_utc(text: str, utc: str) -> None:
    usual, moment = "2026-01-01T00:00:00Z", np.datetime64(utc)
    assert read("timestamps", [text]) == ([moment], [])
    assert read("timestamps", [text, usual, None]) == (
        [moment, np.datetime64("2026-01-01"), None],
        [],
    )


@pytest.mark.parametrize(
    "odd",
    [
        "2026-13-31T09:15:00Z",
        "2026-03-31T25:15:00Z",
        "2026-03-31T09:15:00X",
        "                   Z",
        "NaT                Z",
        "0000-00-00T00:00:00Z",
        "1899-12-31T23:59:59Z",
        "\uff12026-03-31T09:15:00Z",
        "2026-03-31T09:15+01Z",
        "2026-03-31T09+01:00Z",
        "0001-01-01T00:00:00+05:00",
    ],
)
def test_what_is_no_time_is_missing_and_reported(odd: str) -> None:
    usual = "2026-01-01T00:00:00Z"
    assert read("timestamps", [usual, odd]) == (
        [np.datetime64("2026-01-01"), None],
        [Problem(1, "bad_date", f"x is {odd!r}")],
    )


MOMENTS = st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30))  # noqa: DTZ001 - UTC below


@patient
@given(st.lists(MOMENTS.map(lambda moment: moment.replace(microsecond=0))))
def test_whole_seconds_come_back(moments: list[datetime]) -> None:
    written = [f"{moment.isoformat()}Z" for moment in moments]
    assert read("timestamps", written) == ([np.datetime64(m, "us") for m in moments], [])


@patient
@given(st.lists(MOMENTS), st.integers(-14 * 60, 14 * 60))
def test_every_offset_leads_to_the_same_utc(moments: list[datetime], minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    written = [m.replace(tzinfo=UTC).astimezone(zone).isoformat() for m in moments]
    assert read("timestamps", written) == ([np.datetime64(m, "us") for m in moments], [])


@patient
@given(st.lists(st.dates(date(1900, 1, 1), date(2199, 12, 31))))
def test_every_day_comes_back(days: list[date]) -> None:
    expected = ([np.datetime64(day, "us") for day in days], [])
    assert read("dates", [day.isoformat() for day in days]) == expected
    assert read("dates", [f"{day.isoformat()}T00:00:00Z" for day in days]) == expected
