"""The frame: its types, the figures derived in it, and which record counts when several come."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from deals import AS_OF, MILESTONES, deals

from capsule_analytics import opportunities_from_pages
from capsule_analytics.api import Field
from capsule_analytics.errors import DataError
from capsule_analytics.load import _columns as _buffers
from capsule_analytics.load._frame import (
    Assembler,
    Setting,
    assemble,
    finish_pipeline,
    milestone_frame,
)
from capsule_analytics.schema import COLUMNS, RAW_NAMES, Pipeline, status_of, total_contract_value

TYPES = {
    "name": "string",
    "description": "string",
    "party_id": "Int64",
    "party": "category",
    "currency": "category",
    "value": "float64",
    "duration_basis": "category",
    "duration": "Int64",
    "expected_close": "datetime64[us, UTC]",
    "milestone": "category",
    "milestone_id": "Int64",
    "pipeline": "category",
    "pipeline_id": "Int64",
    "probability": "float64",
    "owner": "category",
    "owner_id": "Int64",
    "team": "category",
    "team_id": "Int64",
    "created_at": "datetime64[us, UTC]",
    "updated_at": "datetime64[us, UTC]",
    "last_stage_changed_at": "datetime64[us, UTC]",
    "last_contacted_at": "datetime64[us, UTC]",
    "closed_at": "datetime64[us, UTC]",
    "last_open_milestone": "category",
    "last_open_milestone_id": "Int64",
    "lost_reason": "category",
    "counts_for_conversion": "boolean",
    "tcv": "float64",
    "status": "category",
}


def raw(*records: dict[str, Any]) -> dict[str, list[Any]]:
    """Write a page of raw records; what a record does not give is absent."""
    optional = [c.name for c in COLUMNS if c.optional and any(c.name in r for r in records)]
    return {name: [r.get(name) for r in records] for name in [*RAW_NAMES, *optional]}


def pipeline(
    *pages: dict[str, list[Any]], milestones: list[dict[str, Any]] | None = None, **other: Any
) -> Pipeline:
    return assemble(
        pages,
        typed=other.pop("typed", True),
        milestones=milestone_frame(MILESTONES if milestones is None else milestones, typed=True),
        currencies=(),
        loaded_at=pd.Timestamp("2026-10-15", tz="UTC"),
        as_of=AS_OF,
        account="test",
        **other,
    )


def found(made: Pipeline) -> list[tuple[int, str]]:
    return list(zip(made.issues["opportunity_id"], made.issues["check"], strict=True))


def details(made: Pipeline, check: str) -> list[str]:
    return made.issues.loc[made.issues["check"] == check, "detail"].tolist()


# Types


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_the_types_do_not_depend_on_how_many_there_are(count: int) -> None:
    frame = deals([{"name": f"Deal {n}", "owner": f"o{n}"} for n in range(count)]).opportunities
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == TYPES
    assert (frame.index.name, str(frame.index.dtype), len(frame)) == ("id", "int64", count)
    for name, kind in TYPES.items():
        if kind == "category":
            assert frame[name].cat.categories.dtype == object, name
        if kind == "string":
            assert frame[name].dtype == pd.StringDtype("python")
    assert frame["status"].cat.categories.tolist() == ["open", "won", "lost"]


def test_the_types_do_not_depend_on_what_is_in_there() -> None:
    full = {
        "name": "n", "description": "d", "party_id": 1, "value": 1.5, "duration_basis": "DAY",
        "duration": 2, "expected_close": "2026-11-01", "milestone_id": 2, "probability": 50,
        "owner": "o", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "closed_at": "2026-01-01", "last_open_milestone": "Lead", "lost_reason": "r", "team": "t",
        "party": "p", "pipeline_id": 7, "owner_id": 8, "team_id": 9, "last_open_milestone_id": 1,
        "last_stage_changed_at": "2026-01-01T00:00:00Z", "counts_for_conversion": True,
        "last_contacted_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    empty = dict.fromkeys(RAW_NAMES)
    for rows in ([full], [full, empty], [{**empty, "id": 1}]):
        frame = deals(rows).opportunities
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == TYPES


def test_the_milestones_are_typed_too() -> None:
    for records in ([], MILESTONES):
        table = milestone_frame(records, typed=True)
        assert {name: str(dtype) for name, dtype in table.dtypes.items()} == {
            "name": "string",
            "description": "string",
            "probability": "float64",
            "complete": "bool",
            "pipeline": "string",
            "pipeline_id": "Int64",
            "days_until_stale": "Int64",
            "archived": "bool",
        }
    assert table.index.name == "id"
    assert table["probability"].tolist() == [0.1, 0.5, 0.9, 1.0, 0.0]


def test_tags_and_fields_are_columns_only_where_there_are_some() -> None:
    frame = deals([{"tags": ("a", "b"), "fields": {"Region": "Leeds"}}, {}]).opportunities
    assert frame["tags"].tolist() == [("a", "b"), None]
    assert frame["fields"].tolist() == [{"Region": "Leeds"}, None]
    assert "tags" not in deals([{}]).opportunities
    # As many tags as deals, all of one length: still one tuple a deal.
    square = deals([{"tags": ("a", "b")}, {"tags": ("c", "d")}]).opportunities
    assert square["tags"].tolist() == [("a", "b"), ("c", "d")]


def test_labels_are_sorted_and_all_of_them_used() -> None:
    frame = deals([{"owner": "tom"}, {"owner": "ann"}, {"owner": None}]).opportunities
    assert frame["owner"].cat.categories.tolist() == ["ann", "tom"]
    assert frame["owner"].isna().tolist() == [False, False, True]
    replaced = pipeline(
        raw({"id": 1, "owner": "old", "updated_at": "2026-01-01T00:00:00Z"}),
        raw({"id": 1, "owner": "new", "updated_at": "2026-01-02T00:00:00Z"}),
    ).opportunities
    assert replaced["owner"].cat.categories.tolist() == ["new"]


def test_text_keeps_every_character() -> None:
    names = ["日本", "Ωμέγα", "🎯", "=SUM(A1)", "a\nb", '"q"', "<b>&amp;", "\u200f", " x "]
    frame = deals([{"name": name, "owner": name} for name in names]).opportunities
    assert frame["name"].tolist() == names
    assert frame["owner"].tolist() == names


def test_integers_are_exact_beyond_what_floats_can_hold() -> None:
    big = 2**53 + 1
    frame = deals([{"id": big, "party_id": big, "duration": 2**63 - 1}]).opportunities
    assert frame.index.tolist() == [big]
    assert frame["party_id"].tolist() == [big]
    assert frame["duration"].tolist() == [2**63 - 1]
    # As text beside something odd, too.
    odd = deals([{"id": str(big)}, {"id": "x"}], typed=False).opportunities
    assert odd.index.tolist() == [-1, big]


def test_integers_that_fit_nowhere_are_missing_and_reported() -> None:
    made = deals([{"party_id": 2**63}, {"party_id": 5}])
    assert made.opportunities["party_id"].isna().tolist() == [True, False]
    assert details(made, "not_a_number") == ["party_id is 9223372036854775808, not whole"]


# TCV


@pytest.mark.parametrize(
    ("basis", "duration", "tcv"),
    [
        ("FIXED", None, 5000.0),
        ("FIXED", 3, 5000.0),
        (None, None, 5000.0),
        (None, 3, 5000.0),
        ("HOUR", 40, 200_000.0),
        ("DAY", 10, 50_000.0),
        ("WEEK", 2, 10_000.0),
        ("MONTH", 3, 15_000.0),
        ("QUARTER", 4, 20_000.0),
        ("YEAR", 1, 5000.0),
        ("MONTH", 0, 0.0),
        ("MONTH", -2, -10_000.0),
        ("MONTH", None, None),
    ],
)
def test_total_contract_value_of_each_basis(
    basis: str | None, duration: int | None, tcv: float | None
) -> None:
    frame = deals([{"value": 5000, "duration_basis": basis, "duration": duration}]).opportunities
    assert frame["tcv"].tolist() == [tcv] if tcv is not None else frame["tcv"].isna().all()


def test_total_contract_value_of_nothing_is_nothing() -> None:
    frame = deals([{"value": None}, {"value": None, "duration_basis": "DAY", "duration": 3}])
    assert frame.opportunities["tcv"].isna().all()


def test_the_figures_stand_alone() -> None:
    values = np.array([100.0, 100.0, 100.0])
    basis = pd.Series(["DAY", None, "YEAR"], dtype="category")
    duration = pd.Series([3, 3, None], dtype="Int64")
    assert total_contract_value(values, basis, duration)[:2].tolist() == [300.0, 100.0]
    complete, chance = np.array([False, False, True, True]), np.array([0.0, np.nan, 0.0, 0.4])
    assert status_of(complete, chance).tolist() == ["open", "open", "lost", "won"]


# Status and probability


@pytest.mark.parametrize(
    ("milestone", "own_percent", "status", "probability"),
    [
        ("Lead", None, "open", 0.1),  # the milestone's
        ("Lead", 35, "open", 0.35),  # its own
        ("Lead", 0, "open", 0.0),  # its own, and no fallback for it
        ("Lead", 100, "open", 1.0),
        ("Lead", 150, "open", 0.1),  # out of range counts as missing
        ("Lead", -1, "open", 0.1),
        ("Lead", "50", "open", 0.5),
        ("Lead", "fifty", "open", 0.1),
        ("Won", 100, "won", 1.0),
        ("Won", 40, "won", 1.0),  # what is won is won
        ("Won", None, "won", 1.0),
        ("Lost", 0, "lost", 0.0),
        ("Lost", 70, "lost", 0.0),
        ("Lost", None, "lost", 0.0),
        ("Nowhere", 60, "open", 0.6),  # unknown milestone: open
        ("Nowhere", None, "open", None),
        (None, None, "open", None),
    ],
)
def test_status_and_probability(
    milestone: str | None, own_percent: object, status: str, probability: float | None
) -> None:
    frame = deals([{"milestone": milestone, "probability": own_percent}]).opportunities
    assert frame["status"].tolist() == [status]
    got = frame["probability"].iloc[0]
    assert np.isnan(got) if probability is None else got == probability


def test_out_of_range_is_told_with_the_record() -> None:
    made = deals([{"probability": 150}, {"probability": 50}, {"probability": -0.5}])
    assert details(made, "probability_out_of_range") == ["150 %", "-0.5 %"]
    assert [key for key, check in found(made) if check == "probability_out_of_range"] == [1, 3]


# Milestones


def test_the_id_counts_before_the_name() -> None:
    made = deals([{"milestone_id": 4, "milestone": "Lead"}, {"milestone_id": 4, "milestone": None}])
    frame = made.opportunities
    assert frame["milestone"].tolist() == ["Lead", "Won"]  # a deal keeps the name it came with
    assert frame["status"].tolist() == ["won", "won"]


def test_without_an_id_the_name_counts_and_brings_the_id() -> None:
    frame = deals([{"milestone": "Contract"}]).opportunities
    assert frame["milestone_id"].tolist() == [3]
    assert frame["pipeline"].tolist() == ["Sales"]


def test_an_unknown_id_is_never_joined_by_the_name() -> None:
    made = deals(
        [{"milestone_id": 99, "milestone": "Won"}, {"milestone_id": 99, "milestone": "Gone"}]
    )
    assert made.opportunities["status"].tolist() == ["open", "open"]
    assert made.opportunities["milestone_id"].tolist() == [99, 99]
    assert made.opportunities["milestone"].tolist() == ["Won", "Gone"]
    assert (2, "unknown_milestone") in found(made)
    assert (1, "unknown_milestone") in found(made)
    assert made.unknown_milestones == 2


def test_milestones_of_which_some_lack_an_id() -> None:
    """The others keep theirs, and of two with one id the first counts."""
    made = pipeline(
        raw({"id": 1, "milestone_id": 4}, {"id": 2, "milestone": "Loose"}),
        milestones=[*MILESTONES, {"name": "Loose", "probability": 100, "complete": True},
                    {**MILESTONES[0], "id": 4}],
    )  # fmt: skip
    assert made.opportunities["status"].tolist() == ["won", "won"]
    assert made.milestones.index.tolist() == [1, 2, 3, 4, 5, -1]


def test_owners_and_teams_of_one_id_go_by_one_name() -> None:
    rows = [
        {"owner": "ada.b", "owner_id": 8, "updated_at": "2026-01-01T00:00:00Z", "team_id": 4,
         "team": "Old"},
        {"owner": "ada", "owner_id": 8, "updated_at": "2026-03-01T00:00:00Z", "team_id": 4,
         "team": "New"},
        {"owner": None, "owner_id": 8},
        {"owner": "ada.b", "owner_id": 9},
    ]  # fmt: skip
    frame = deals(rows).opportunities
    assert frame["owner"].tolist() == ["ada", "ada", "ada", "ada.b"]
    assert frame["team"].tolist()[:2] == ["New", "New"]
    listed = pipeline(raw(*({"id": n, **row} for n, row in enumerate(rows))), usernames={8: "a.h"})
    assert listed.opportunities["owner"].tolist() == ["a.h", "a.h", "a.h", "ada.b"]


def test_which_lost_deals_count_stands_with_their_reason() -> None:
    rows = [
        {"id": 1, "milestone_id": 5, "lost_reason_id": 93},
        {"id": 2, "milestone_id": 5, "lost_reason_id": 94},
        {"id": 3, "milestone_id": 5, "lost_reason_id": 95},
        {"id": 4, "milestone_id": 1, "lost_reason_id": 94},
        {"id": 5, "milestone_id": 5},
    ]
    page = raw(*rows) | {"lost_reason_id": [row.get("lost_reason_id") for row in rows]}
    frame = pipeline(page, lost_reasons={93: True, 94: False}).opportunities
    counts = frame["counts_for_conversion"]
    assert counts.astype(object).where(counts.notna(), None).tolist() == [
        True, False, None, None, None,
    ]  # fmt: skip


FIELDS = [
    Field(1, "Ref", "Framework", "text"), Field(2, "Ref", "Licence", "number"),
    Field(3, "Seats", None, "number"), Field(4, "Signed", "Contract", "boolean"),
    Field(5, "Starts", "Contract", "date"), Field(6, "Folder", None, "link"),
]  # fmt: skip


def test_custom_fields_have_their_types_and_keys_of_their_own() -> None:
    held = (
        Field(1, "Ref", None, "7"), Field(2, "Ref", None, "7.5"), Field(3, "Seats", None, "12"),
        Field(4, "Signed", None, value=False), Field(5, "Starts", None, "2026-04-15"),
        Field(6, "Folder", None, None), Field(9, "Unlisted", None, "3"),
    )  # fmt: skip
    made = pipeline(raw({"id": 1, "fields": held}), definitions=FIELDS)
    assert made.opportunities["fields"].loc[1] == {
        "Framework: Ref": "7", "Licence: Ref": 7.5, "Seats": 12, "Signed": False,
        "Starts": date(2026, 4, 15), "Unlisted": "3",
    }  # fmt: skip
    assert "field_type" not in set(made.issues["check"])


@pytest.mark.parametrize(
    ("which", "value", "kept"),
    [
        (3, "many", "many"), (3, True, True), (3, "1e999", "1e999"), (4, "true", "true"),
        (5, "2026-02-30", "2026-02-30"), (5, 7, 7), (1, ["x"], "['x']"),
    ],
)  # fmt: skip
def test_a_field_of_another_type_stays_as_it_came_and_is_told(
    which: int, value: object, kept: object
) -> None:
    name = FIELDS[which - 1].name
    made = pipeline(
        raw({"id": 1, "fields": (Field(which, name, None, value),)}), definitions=FIELDS
    )
    assert list(made.opportunities["fields"].loc[1].values()) == [kept]
    assert found(made).count((1, "field_type")) == 1


def test_milestones_without_ids_join_by_name() -> None:
    plain = [{key: m[key] for key in ("name", "probability", "complete")} for m in MILESTONES]
    frame = pipeline(
        raw({"id": 1, "milestone": "Won"}, {"id": 2, "milestone": "Lead", "milestone_id": 8}),
        milestones=plain,
    ).opportunities
    assert frame["status"].tolist() == ["won", "open"]
    assert frame["probability"].tolist() == [1.0, 0.1]
    assert frame["milestone_id"].fillna(-1).tolist() == [-1, 8]


def test_a_name_of_several_pipelines_counts_only_if_it_means_the_same() -> None:
    several = [
        {"id": 1, "name": "Bid", "probability": 40, "complete": False, "pipeline": "A"},
        {"id": 2, "name": "Bid", "probability": 70, "complete": False, "pipeline": "B"},
        {"id": 3, "name": "Won", "probability": 100, "complete": True, "pipeline": "A"},
        {"id": 4, "name": "Won", "probability": 100, "complete": True, "pipeline": "B"},
    ]
    made = pipeline(
        raw({"id": 1, "milestone": "Bid"}, {"id": 2, "milestone": "Won"}), milestones=several
    )
    assert made.opportunities["status"].tolist() == ["open", "won"]
    assert [key for key, check in found(made) if check == "unknown_milestone"] == [1]


def test_a_milestone_without_a_name_is_no_obstacle() -> None:
    odd = [*MILESTONES, {"id": 9, "name": None, "probability": 5, "complete": False}]
    frame = pipeline(
        raw({"id": 1, "milestone": "Lead"}, {"id": 2, "milestone_id": 9}), milestones=odd
    ).opportunities
    assert frame["probability"].tolist() == [0.1, 0.05]


def test_without_milestones_everything_is_open() -> None:
    frame = pipeline(raw({"id": 1, "milestone": "Won", "probability": 80}), milestones=[])
    assert frame.opportunities["status"].tolist() == ["open"]
    assert frame.opportunities["probability"].tolist() == [0.8]
    assert frame.opportunities["milestone"].tolist() == ["Won"]


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"probability": "half"}, "probability is 'half'"),
        ({"probability": 101}, "probability is 101"),
        ({"probability": -1}, "probability is -1"),
        ({"complete": True, "probability": None}, "closes deals has no probability"),
        ({"id": "x"}, "id is 'x'"),
    ],
)
def test_a_configuration_that_no_forecast_can_stand_on(odd: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match="milestone configuration cannot be used") as caught:
        milestone_frame(
            [{"id": 1, "name": "x", "probability": 5, "complete": False} | odd], typed=True
        )
    assert says in str(caught.value)


def test_an_open_milestone_may_lack_a_probability() -> None:
    table = milestone_frame(
        [{"id": 1, "name": "x", "probability": None, "complete": "false"}], typed=True
    )
    assert table["probability"].isna().all()
    made = pipeline(raw({"id": 7, "milestone": "x"}), milestones=[{"id": 1, "name": "x"}])
    assert (7, "missing_probability") in found(made)
    assert (7, "unknown_milestone") not in found(made)


# Several records of one id, and records of none


OLD = {"id": 7, "name": "old", "value": 1, "updated_at": "2026-01-01T00:00:00Z"}
NEW = {"id": 7, "name": "new", "value": 2, "updated_at": "2026-02-01T00:00:00Z"}
UNDATED = {"id": 7, "name": "undated", "value": 3}


@pytest.mark.parametrize(
    "records",
    [[OLD, NEW], [NEW, OLD], [OLD, UNDATED, NEW], [NEW, UNDATED, OLD], [UNDATED, NEW, OLD]],
)
@pytest.mark.parametrize("together", [True, False])
def test_the_newest_of_several_counts(records: list[dict[str, Any]], together: bool) -> None:
    pages = [raw(*records)] if together else [raw(record) for record in records]
    made = pipeline(*pages)
    assert made.opportunities["name"].tolist() == ["new"]
    assert details(made, "duplicate_id") == [f"{len(records)} records; newest kept"]


def test_what_was_wrong_with_an_older_record_is_not_told() -> None:
    made = pipeline(raw(OLD | {"value": "12k"}, NEW | {"duration": "x"}))
    assert details(made, "not_a_number") == ["duration is 'x'"]


def test_an_id_read_twice_because_pages_shifted_is_no_finding() -> None:
    assert details(pipeline(raw(OLD), raw(NEW), repeats=True), "duplicate_id") == []


def test_what_was_deleted_meanwhile_is_left_out() -> None:
    made = pipeline(raw({"id": 6}, OLD, {"id": 8}, NEW, {"id": 9}), gone=frozenset({6, 9, 1000}))
    assert made.opportunities.index.tolist() == [7, 8]
    assert [f for f in found(made) if f[1] == "duplicate_id"] == [(7, "duplicate_id")]
    assert details(made, "duplicate_id") == ["2 records; newest kept"]
    assert set(made.issues["opportunity_id"]) == {7, 8}
    everything = pipeline(raw(OLD, NEW), gone=frozenset({7}))
    assert (len(everything.opportunities), len(everything.issues)) == (0, 0)


def test_records_without_an_id_are_kept_under_negative_ones() -> None:
    made = pipeline(raw({"name": "a"}, {"id": 5, "name": "b"}), raw({"id": "x", "name": "c"}))
    assert made.opportunities["name"].to_dict() == {-2: "c", -1: "a", 5: "b"}
    assert [f for f in found(made) if f[1] == "missing_id"] == [
        (-2, "missing_id"),
        (-1, "missing_id"),
    ]
    assert (-2, "not_a_number") in found(made)


def test_a_negative_id_of_the_account_is_not_taken_away() -> None:
    made = pipeline(raw({"id": -1, "name": "theirs"}, {"name": "ours"}))
    assert made.opportunities["name"].to_dict() == {-2: "ours", -1: "theirs"}


def test_a_duplicate_across_chunks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_buffers, "_AT_ONCE", 2)
    made = pipeline(
        raw({"id": 1, "owner": "z"}, OLD),
        raw({"id": 2, "owner": "a", "value": "bad"}, {"id": 3, "tags": ("x",)}),
        raw(NEW, {"id": 4, "value": "worse"}),
        raw({"owner": "m"}),
    )
    frame = made.opportunities
    assert frame.index.tolist() == [-1, 1, 2, 3, 4, 7]
    assert frame["name"].loc[7] == "new"
    assert frame["owner"].cat.categories.tolist() == ["a", "m", "z"]
    assert frame["owner"].loc[[1, 2, -1]].tolist() == ["z", "a", "m"]
    assert frame["tags"].loc[3] == ("x",)
    assert frame["tags"].drop(3).isna().all()
    problems = made.issues[made.issues["check"] == "not_a_number"]
    assert dict(zip(problems["opportunity_id"], problems["detail"], strict=True)) == {
        2: "value is 'bad'",
        4: "value is 'worse'",
    }
    assert (7, "duplicate_id") in found(made)


def test_more_records_than_a_chunk_holds() -> None:
    count = 25_000
    ids = list(range(count))
    page = {name: [None] * count for name in RAW_NAMES} | {
        "id": ids,
        "value": [float(n) for n in ids],
        "owner": [f"o{n % 7}" for n in ids],
        "updated_at": ["2026-01-01T00:00:00Z"] * count,
    }
    pages = [{name: v[at : at + 100] for name, v in page.items()} for at in range(0, count, 100)]
    again = raw({"id": 3, "value": -1.0, "updated_at": "2026-01-02T00:00:00Z"})
    made = pipeline(*pages, again)
    frame = made.opportunities
    assert frame.index.tolist() == ids
    assert frame["value"].loc[3] == -1.0
    assert frame["value"].drop(3).tolist() == [float(n) for n in ids if n != 3]
    assert frame["owner"].drop(3).tolist() == [f"o{n % 7}" for n in ids if n != 3]
    assert details(made, "duplicate_id") == ["2 records; newest kept"]


# Dates


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-31",
        "2026-03-31T00:00:00Z",
        "2026-03-31T23:59:59Z",
        "2026-03-31T00:00:00+14:00",
        "2026-03-31T23:30:00-11:00",
        " 2026-03-31 ",
    ],
)
def test_a_close_date_is_never_shifted_by_a_time_zone(text: str) -> None:
    frame = deals([{"expected_close": text, "closed_at": text}]).opportunities
    midnight = pd.Timestamp("2026-03-31", tz="UTC")
    assert frame["expected_close"].tolist() == [midnight]
    assert frame["closed_at"].tolist() == [midnight]


def test_a_timestamp_is_turned_into_utc() -> None:
    frame = deals(
        [
            {"updated_at": "2026-03-31T23:30:00-02:00"},
            {"updated_at": "2026-03-31T23:30:00"},
            {"updated_at": "2026-03-31T23:30:00.250Z"},
            {"updated_at": "2026-03-31T23:30:00Z"},
        ]
    ).opportunities
    assert frame["updated_at"].dt.strftime("%m-%dT%H:%M:%S.%f").tolist() == [
        "04-01T01:30:00.000000",
        "03-31T23:30:00.000000",
        "03-31T23:30:00.250000",
        "03-31T23:30:00.000000",
    ]


# Purity


def test_pages_and_milestones_are_not_changed() -> None:
    page = raw(OLD, NEW | {"probability": 150, "tags": ("a",)}, {"name": ""})
    before = {name: list(values) for name, values in page.items()}
    milestones = milestone_frame(MILESTONES, typed=True)
    kept = milestones.copy(deep=True)
    assembler = Assembler(typed=True)
    assembler.add(page)
    assembler.add(page)
    made = finish_pipeline(
        assembler,
        Setting(milestones, ["GBP"]),
        loaded_at=pd.Timestamp("2026-10-15", tz="UTC"),
        as_of=date(2026, 10, 15),
        account="",
    )
    assert page == before
    pd.testing.assert_frame_equal(milestones, kept)
    made.opportunities["probability"] = 0.0
    pd.testing.assert_frame_equal(milestones, kept)


def test_what_the_checks_need_is_not_left_in_the_frame() -> None:
    expected = [name for name in RAW_NAMES if name != "id"] + ["tcv", "status"]
    assert deals([{}]).opportunities.columns.tolist() == expected
    page = b'{"opportunities": [{"id": 1}]}'
    assert opportunities_from_pages([page], api_version="v2").columns.tolist() == expected


def test_a_pipeline_says_what_it_holds() -> None:
    made = deals([{"expected_close": "2026-12-01"}, {"milestone": "Won"}, {"milestone": "Lost"}])
    assert repr(made).startswith("<Pipeline of test as of 2026-10-15: 1 open, 1 won, 1 lost; ")


class TestIdsAtTheEdge:
    """No id becomes another's, whatever stands in its place."""

    @pytest.mark.parametrize(
        ("ids", "expected"),
        [
            (["-9223372036854775808"], [-9223372036854775808]),
            (["-9223372036854775808", "x", "-2", "y"], [-9223372036854775808, -3, -2, -1]),
            (["9223372036854775808", "9223372036854775807"], [-1, 9223372036854775807]),
            (["9007199254740993.0", "9007199254740992"], [-1, 9007199254740992]),
            (["1_0", "10"], [-1, 10]),
            (["9" * 5000, "7.0"], [-1, 7]),
        ],
    )
    def test_v1(self, ids: list[str], expected: list[int]) -> None:
        deals = "".join(f"<opportunity><id>{key}</id></opportunity>" for key in ids)
        frame = opportunities_from_pages([f"<opportunities>{deals}</opportunities>".encode()])
        assert frame.index.tolist() == expected

    @pytest.mark.parametrize(
        ("ids", "expected"),
        [
            ("9223372036854775808, 18446744073709551616, -9223372036854775808",
             [-9223372036854775808, -2, -1]),
            ("9007199254740993.0, 9007199254740992", [-1, 9007199254740992]),
            ("true, 1", [-1, 1]),
        ],
    )  # fmt: skip
    def test_v2(self, ids: str, expected: list[int]) -> None:
        deals = ", ".join(f'{{"id": {key.strip()}}}' for key in ids.split(","))
        frame = opportunities_from_pages([f'{{"opportunities": [{deals}]}}'.encode()], "v2")
        assert frame.index.tolist() == expected
