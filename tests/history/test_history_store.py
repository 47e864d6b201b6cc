"""The snapshot store: versions of deals, any past moment read back, files that are in the way."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from deals import MILESTONES, deals
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule_analytics import history, load_sample
from capsule_analytics.errors import ArgumentError, HistoryError
from capsule_analytics.history import _store_file
from capsule_analytics.history._store_rows import DEAL_COLUMNS
from capsule_analytics.load._frame import milestone_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from capsule_analytics import Pipeline

FIRST = date(2026, 10, 15)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[history.Store]:
    with history.open_store(tmp_path / "history.duckdb") as opened:
        yield opened


def on_day(n: int, *rows: dict[str, Any]) -> Pipeline:
    """Return the pipeline of the n-th day after the first."""
    return deals(list(rows), as_of=FIRST + timedelta(days=n))


def versions(store: history.Store) -> list[tuple[Any, ...]]:
    """Return id, value, and the days from and to which each version holds."""
    rows = store._connection.execute(
        "SELECT id, value, valid_from, valid_to FROM opportunities ORDER BY id, valid_from"
    ).fetchall()
    return [(i, v, a.day - FIRST.day, b and b.day - FIRST.day) for i, v, a, b in rows]


def same(one: Pipeline, other: Pipeline) -> None:
    """Check that two pipelines are alike in all but the order of the categories."""
    pd.testing.assert_frame_equal(one.opportunities, other.opportunities, check_categorical=False)
    assert (one.opportunities.dtypes == other.opportunities.dtypes).all()
    pd.testing.assert_frame_equal(one.milestones, other.milestones)
    pd.testing.assert_frame_equal(one.issues, other.issues)
    assert (one.loaded_at, one.as_of, one.account) == (other.loaded_at, other.as_of, other.account)


def test_the_sample_comes_back_as_it_was_recorded(store: history.Store) -> None:
    sample = load_sample()
    store.record(sample)
    read = store.as_of("2026-10-15")
    same(read, sample)
    frame = read.opportunities
    assert frame.loc[1601, ["description", "tags", "fields"]].isna().all()  # absent
    assert frame.loc[1602, "tags"] == ()  # none, which is something else
    assert frame["status"].cat.categories.tolist() == ["open", "won", "lost"]


def test_what_the_newest_snapshot_holds_is_told_without_reading_it(store: history.Store) -> None:
    store.record(on_day(0, {"id": 3}, {"id": 1}))
    store.record(on_day(1, {"id": 7}, {"id": 3}))
    ids, milestones = store.newest()
    read = store.as_of(FIRST + timedelta(days=1))
    pd.testing.assert_index_equal(ids, read.opportunities.index)
    pd.testing.assert_frame_equal(milestones, read.milestones)
    with pytest.raises(HistoryError, match="no account 'other'"):
        store.newest("other")


def test_every_snapshot_of_the_sample_history_comes_back(store: history.Store) -> None:
    days = history.sample_history()
    for pipeline in days:
        store.record(pipeline)
    for recorded, read in zip(days, store.pipelines(), strict=True):
        same(read, recorded)
    log = store.snapshots()
    assert log["deals"].tolist() == [len(pipeline.opportunities) for pipeline in days]
    assert log["changed"].sum() == len(versions(store))


def test_unchanged_deals_cost_nothing(store: history.Store) -> None:
    for n in range(3):
        store.record(on_day(n, {"value": 10}, {"value": 20 + (n == 2)}))
    assert versions(store) == [(1, 10, 0, None), (2, 20, 0, 2), (2, 21, 2, None)]
    log = store.snapshots()
    assert log.columns.tolist() == ["taken_at", "kind", "deals", "changed", "deleted"]
    assert log.to_numpy().tolist() == [
        [pd.Timestamp("2026-10-15", tz="UTC"), "full", 2, 2, 0],
        [pd.Timestamp("2026-10-16", tz="UTC"), "full", 2, 0, 0],
        [pd.Timestamp("2026-10-17", tz="UTC"), "full", 2, 1, 0],
    ]


def test_a_deal_that_leaves_and_returns(store: history.Store) -> None:
    store.record(on_day(0, {"value": 10}, {"value": 20}))
    store.record(on_day(1, {"value": 10}))
    store.record(on_day(2, {"value": 10}, {"value": 20}))
    assert versions(store) == [(1, 10, 0, None), (2, 20, 0, 1), (2, 20, 2, None)]
    assert [store.as_of(f"2026-10-{day}").opportunities.index.tolist() for day in (15, 16, 17)] == [
        [1, 2], [1], [1, 2],
    ]  # fmt: skip
    assert store.snapshots()["deleted"].tolist() == [0, 1, 0]


def test_changes_alone_make_a_snapshot_too(store: history.Store) -> None:
    store.record(on_day(0, {"value": 10}, {"value": 20}, {"value": 30}))
    changed = on_day(1, {"value": 10}, {"value": 21}, {"id": 4, "value": 40})
    store.record_changes(changed, deleted_ids=[3, 99])
    full = on_day(1, {"value": 10}, {"value": 21}, {"id": 4, "value": 40})
    same(store.as_of("2026-10-16"), full)
    assert store.snapshots().loc[1, "kind":].tolist() == ["incremental", 3, 2, 1]
    later = pd.Timestamp("2026-10-17T08:00Z")
    store.record_changes(on_day(2, {"value": 11}), deleted_ids=[1], loaded_at=later)
    assert store.as_of("2026-10-17").opportunities.index.tolist() == [2, 4]  # gone wins
    assert store.as_of("2026-10-17").loaded_at == later


def test_a_deal_becomes_overdue_although_it_did_not_change(store: history.Store) -> None:
    due = {"value": 10, "expected_close": "2026-10-15"}
    store.record(on_day(0, due))
    store.record_changes(on_day(1, {"id": 2, "value": None}), deleted_ids=[])
    same(store.as_of("2026-10-16"), on_day(1, due, {"id": 2, "value": None}))
    assert "overdue" in set(store.as_of("2026-10-16").issues["check"])
    assert "overdue" not in set(store.as_of("2026-10-15").issues["check"])


def test_changes_need_a_snapshot_to_stand_on_and_the_same_milestones(store: history.Store) -> None:
    with pytest.raises(HistoryError, match="no snapshot of 'test' to change"):
        store.record_changes(on_day(0, {}), deleted_ids=[])
    store.record(on_day(0, {}))
    with pytest.raises(HistoryError, match="milestones of 'test' have changed"):
        store.record_changes(with_lead_at(20, on_day(1, {})), deleted_ids=[])
    assert len(store.snapshots()) == 1


def with_lead_at(percent: int, pipeline: Pipeline) -> Pipeline:
    """Return the pipeline with another probability of its first milestone."""
    lead, *others = MILESTONES
    frame = milestone_frame([{**lead, "probability": percent}, *others], typed=True)
    return replace(pipeline, milestones=frame)


def test_the_milestone_configuration_has_versions(store: history.Store) -> None:
    for n, percent in enumerate((10, 10, 20)):
        store.record(with_lead_at(percent, on_day(n, {})))
    read = [store.as_of(f"2026-10-{day}").milestones.loc[1, "probability"] for day in (15, 16, 17)]
    assert read == [0.1, 0.1, 0.2]
    count = store._connection.execute("SELECT count(*) FROM milestones").fetchall()
    assert count == [(2 * len(MILESTONES),)]


def test_milestones_without_ids_come_back_without(store: history.Store) -> None:
    nameless = [{**milestone, "id": None} for milestone in MILESTONES]
    pipeline = replace(on_day(0, {}), milestones=milestone_frame(nameless, typed=True))
    store.record(pipeline)
    same(store.as_of(FIRST), pipeline)


@pytest.mark.parametrize(
    ("when", "value"),
    [
        (FIRST, 1),  # a day means its end
        ("2026-10-15", 1),
        ("2026-10-15T11:59:59", 0),
        (datetime(2026, 10, 15, 12, tzinfo=UTC), 1),
        (pd.Timestamp("2026-10-15T12:00", tz="Europe/London"), 0),  # 11:00 UTC
        ("2026-10-15T13:00+01:00", 1),
        ("2030-01-01", 2),
    ],
)
def test_the_newest_snapshot_at_or_before_a_moment(
    store: history.Store, when: Any, value: float
) -> None:
    for n, hour in enumerate((6, 12, 36)):
        at = pd.Timestamp(FIRST, tz="UTC") + pd.Timedelta(hours=hour)
        store.record(replace(on_day(0, {"value": n}), loaded_at=at))
    assert store.as_of(when).opportunities["value"].tolist() == [value]


def test_a_moment_before_the_first_snapshot(store: history.Store) -> None:
    with pytest.raises(HistoryError, match="is empty"):
        store.as_of(FIRST)
    store.record(on_day(0, {}))
    with pytest.raises(HistoryError, match="first day known is 2026-10-15"):
        store.as_of("2026-10-14")
    with pytest.raises(ArgumentError, match="'yesterday' is no day"):
        store.as_of("yesterday")


def test_two_accounts_are_kept_apart(store: history.Store) -> None:
    store.record(on_day(1, {"value": 1}))
    store.record(replace(on_day(0, {"value": 2}), account="other"))  # its own clock
    assert store.accounts() == ["other", "test"]
    assert store.as_of("2026-10-16", "test").opportunities["value"].tolist() == [1]
    assert store.as_of("2026-10-16", "other").opportunities["value"].tolist() == [2]
    with pytest.raises(HistoryError, match="name one of 'other', 'test'"):
        store.as_of("2026-10-16")
    with pytest.raises(HistoryError, match="no account 'third'"):
        store.snapshots("third")


def test_a_clock_that_goes_back_is_refused(store: history.Store) -> None:
    store.record(on_day(1, {"value": 1}))
    with pytest.raises(HistoryError, match="check the clock"):
        store.record(on_day(0, {"value": 2}))
    with pytest.raises(HistoryError, match="it differs"):
        store.record(on_day(1, {"value": 2}))
    assert store.as_of("2026-10-16").opportunities["value"].tolist() == [1]


def test_the_same_snapshot_twice_is_one(store: history.Store) -> None:
    store.record(on_day(0, {"value": 1}))
    store.record(on_day(0, {"value": 1}))
    assert len(store.snapshots()) == 1


def test_tags_and_fields_are_there_when_they_were_loaded(store: history.Store) -> None:
    tagged = on_day(1, {"tags": ("b", "a"), "fields": {"y": 1.5, "x": None}}, {"tags": ()})
    for pipeline in (on_day(0, {}, {}), tagged, on_day(2, {}, {})):
        store.record(pipeline)
        same(store.as_of(pipeline.as_of), pipeline)
    store.record_changes(
        replace(tagged, loaded_at=pd.Timestamp("2026-10-18T00:00Z")), deleted_ids=[]
    )
    assert store.as_of("2026-10-18").opportunities["tags"].tolist() == [("b", "a"), ()]


def test_a_frame_of_another_shape_is_refused(store: history.Store) -> None:
    pipeline = on_day(0, {})
    for change, message in (
        (lambda frame: frame.assign(value_in_gbp=1.0), "without value_in_gbp"),
        (lambda frame: frame.drop(columns="tcv"), "lacks the columns tcv"),
    ):
        other = replace(pipeline, opportunities=change(pipeline.opportunities))
        with pytest.raises(HistoryError, match=message):
            store.record(other)
    assert store.accounts() == []


deal = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(st.characters(codec="utf-8"), max_size=5),
        "value": st.one_of(st.none(), st.floats(-1e12, 1e12)),
        "currency": st.sampled_from(["GBP", "EUR", None]),
        "duration_basis": st.sampled_from(["FIXED", "DAY", None]),
        "duration": st.one_of(st.none(), st.integers(-(2**62), 2**62)),
        "milestone": st.sampled_from(["Lead", "Won", "Lost", "Unheard of", None]),
        "probability": st.one_of(st.none(), st.integers(-5, 120)),
        "expected_close": st.sampled_from([None, "2026-01-31", "2026-12-01", "never"]),
        "updated_at": st.sampled_from([None, "2026-10-01T10:00:00.123456Z"]),
        "tags": st.lists(st.text(max_size=3), max_size=2).map(tuple),
    },
)
day = st.dictionaries(st.integers(1, 5), deal, max_size=5)


@given(st.lists(day, min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_any_history_comes_back(days: list[dict[int, Any]]) -> None:
    recorded = [
        on_day(n, *({"id": key, **row} for key, row in rows.items())) for n, rows in enumerate(days)
    ]
    with history.Store(duckdb.connect(), Path("memory")) as store:
        for step in _store_file.MIGRATIONS:
            store._connection.execute(step)
        for pipeline in recorded:
            store.record(pipeline)
        for pipeline, read in zip(recorded, store.pipelines(), strict=True):
            same(read, pipeline)


def test_the_store_has_the_columns_of_the_frame(store: history.Store) -> None:
    found = store._connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE table_name = 'opportunities'"
    ).fetchall()
    names = [name for (name,) in found if name not in {"account", "valid_from", "valid_to"}]
    assert sorted(names) == sorted([*(column.name for column in DEAL_COLUMNS), "issues"])


def test_the_export_has_the_whole_frame_of_every_day(store: history.Store, tmp_path: Path) -> None:
    for hours, value in ((0, 1.0), (12, 2.0), (30, 3.0)):
        at = pd.Timestamp(FIRST, tz="UTC") + pd.Timedelta(hours=hours)
        row = {"value": value, "expected_close": "2026-12-01", "tags": ("a", "b")}
        store.record(replace(on_day(0, row), loaded_at=at, account="A/S & Co"))
    files = store.export_parquet(tmp_path / "out")
    folder = tmp_path / "out" / "account=A%2FS%20%26%20Co"
    assert files == [folder / f"day=2026-10-{day}" / "part.parquet" for day in (15, 16)]
    assert sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file()) == files
    last = pq.ParquetFile(files[0]).read()
    assert last.column_names == [column.name for column in DEAL_COLUMNS]
    assert last["value"].to_pylist() == [2.0]  # the last of the day
    assert last["expected_close"].to_pylist() == [date(2026, 12, 1)]
    assert last["tags"].to_pylist() == ['["a","b"]']
    assert str(last.schema.field("created_at").type) == "timestamp[us, tz=UTC]"
    with duckdb.connect() as connection:
        read = connection.execute(
            "SELECT account, day::VARCHAR, value FROM read_parquet(?) ORDER BY day",
            [f"{tmp_path}/out/**/*.parquet"],
        ).fetchall()
    assert read == [("A/S & Co", "2026-10-15", 2.0), ("A/S & Co", "2026-10-16", 3.0)]


def test_the_files_are_their_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_, **__: str(tmp_path / "a" / "b"))
    with history.open_store() as store:
        store.record(on_day(0, {}))
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "a").rglob("*")}
    assert store.path == tmp_path / "a" / "b" / "history.duckdb"
    assert modes == {"b": 0o700, "history.duckdb": 0o600, "history.duckdb.wal": 0o600}


def in_a_child(action: Callable[[], None]) -> str:
    """Run something in a forked process and return the message of its HistoryError."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        message = "no error"
        try:
            action()
        except HistoryError as error:
            message = str(error)
        finally:
            os.write(writing, message.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        message = pipe.read()
    os.waitpid(child, 0)
    return message


WRITER = """
import sys
from capsule_analytics import history
with history.open_store(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_two_programs_do_not_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        for read_only in (False, True):
            with pytest.raises(HistoryError, match="another run is writing"):
                history.open_store(path, read_only=read_only)
    with history.open_store(path) as store:  # it is done
        store.record(on_day(0, {}))


def test_two_writers_in_one_process_do_not_both_win(store: history.Store) -> None:
    with history.open_store(store.path) as other:
        with (
            pytest.raises(HistoryError, match="another run is writing"),
            _store_file.transaction(store._connection, store.path),
        ):
            other.record(on_day(0, {"value": 1}))
        other.record(on_day(0, {"value": 1}))
    assert len(store.snapshots()) == 1


def test_reading_changes_nothing(store: history.Store) -> None:
    store.record(on_day(0, {}))
    store.close()
    with history.open_store(store.path, read_only=True) as reader:
        same(reader.as_of(FIRST), on_day(0, {}))
        with pytest.raises(HistoryError, match="read-only"):
            reader.record(on_day(1, {}))
        with pytest.raises(HistoryError, match="open already"):
            history.open_store(store.path)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("content", [b"", b"id,name\n", b"SQLite format 3\0" + bytes(4080)])
def test_a_file_that_is_no_store(tmp_path: Path, content: bytes, read_only: bool) -> None:
    file = tmp_path / "notes"
    file.write_bytes(content)
    with pytest.raises(HistoryError, match="notes: the file is not a snapshot store"):
        history.open_store(file, read_only=read_only)
    assert file.read_bytes() == content


def test_a_database_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE store (version INTEGER)")
    with pytest.raises(HistoryError, match="not a snapshot store"):
        history.open_store(path)


def test_paths_where_no_file_can_be(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="there is no snapshot store"):
        history.open_store(tmp_path / "none", read_only=True)
    with pytest.raises(HistoryError, match=r"[Dd]irectory"):
        history.open_store(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(HistoryError, match="a file stands where its folder should be"):
        history.open_store(tmp_path / "file" / "history.duckdb")


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)

    def open_as_another_user() -> None:
        if os.geteuid() == 0:
            os.setuid(65534)
        history.open_store(tmp_path / "history.duckdb")

    tmp_path.parent.chmod(0o755)
    tmp_path.parent.parent.chmod(0o755)
    assert "Permission denied" in in_a_child(open_as_another_user)


def test_a_disk_that_is_full_leaves_the_last_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    with history.open_store(path) as store:
        store.record(on_day(0, {"value": 1}))

    def write_much() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = path.stat().st_size + 100_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with history.open_store(path) as store:
            text = "".join(map(str, range(50_000)))  # does not compress to little
            store.record(on_day(1, *({"description": f"{n}{text}"} for n in range(20))))

    assert "File too large" in in_a_child(write_much)
    with history.open_store(path) as store:
        same(store.as_of("2026-12-31"), on_day(0, {"value": 1}))
        store.record(on_day(2, {"value": 2}))


WITHOUT_DUCKDB = """
import sys
sys.modules["duckdb"] = None
from capsule_analytics import errors, history, load_sample
sample = load_sample()
assert len(history.changed_deals(sample, sample)) == 0
try:
    history.open_store(sys.argv[1])
except errors.MissingExtraError as error:
    print(error)
"""


def test_only_the_store_needs_the_extra(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DUCKDB, tmp_path / "history.duckdb"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'pip install "capsule-analytics[history]"' in done.stdout


def test_a_store_of_a_newer_release(store: history.Store) -> None:
    newest = len(_store_file.MIGRATIONS)
    store._connection.execute("UPDATE store SET version = ?", [newest + 1])
    store.close()
    told = f"of version {newest + 1}, and this release reads up to version {newest}"
    with pytest.raises(HistoryError, match=told):
        history.open_store(store.path)


def test_a_store_of_the_first_release_is_read_and_goes_on(tmp_path: Path) -> None:
    """What it did not know is missing; a deal is recorded anew once it is known."""
    path = tmp_path / "history.duckdb"
    columns = ["id", "name", "value", "currency", "milestone", "milestone_id", "owner", "tcv"]
    with duckdb.connect(path) as old:
        old.execute(_store_file.MIGRATIONS[0])
        old.execute("UPDATE store SET version = 1")
        old.execute(
            f"INSERT INTO opportunities (account, valid_from, {', '.join(columns)}, status, issues)"  # noqa: S608
            " VALUES ('test', '2026-10-14 12:00:00', 1, 'Deal', 5, 'GBP', 'Proposal', 2, 'ada', 5,"
            " 'open', '[]')"
        )
        old.execute(
            "INSERT INTO milestones (account, valid_from, position, id, name, probability,"
            " complete, pipeline) VALUES ('test', '2026-10-14 12:00:00', 0, 2, 'Proposal', 0.5,"
            " false, 'Sales')"
        )
        old.execute(
            "INSERT INTO snapshots VALUES ('test', '2026-10-14 12:00:00', '2026-10-14', 'full', 1,"
            " 1, 0, '[]', '[]')"
        )
    with history.open_store(path) as store:
        first = store.as_of("2026-10-14")
        row = first.opportunities.loc[1]
        assert (row["owner"], row["value"], row["milestone_id"]) == ("ada", 5, 2)
        assert all(pd.isna(row[name]) for name in ("owner_id", "pipeline_id", "team_id"))
        assert str(first.opportunities["counts_for_conversion"].dtype) == "boolean"
        assert first.milestones["archived"].tolist() == [False]
        assert first.milestones["days_until_stale"].isna().all()
        moment = pd.Timestamp("2026-10-15 12:00", tz="UTC")
        known = first.opportunities.assign(
            owner_id=pd.array([8], "Int64"),
            fields=pd.Series([{"Starts": date(2026, 4, 15), "Day": "2026-04-15"}], index=[1]),
        )
        later = replace(first, opportunities=known, loaded_at=moment, as_of=moment)
        store.record(later)
        read = store.as_of("2026-10-15").opportunities
        assert read["owner_id"].tolist() == [8]
        assert read["fields"].tolist() == [{"Starts": date(2026, 4, 15), "Day": "2026-04-15"}]
        assert store.snapshots()["changed"].tolist() == [1, 1]
        exported = store.export_parquet(tmp_path / "out")
        text = pq.read_table(exported[-1], partitioning=None)["fields"].to_pylist()
        assert text == ['{"Day":"2026-04-15","Starts":"2026-04-15"}']


def test_a_store_of_an_older_release_is_brought_up_to_date(
    store: history.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.record(on_day(0, {"value": 1}))
    store.close()
    step = "ALTER TABLE snapshots ADD COLUMN note VARCHAR"
    monkeypatch.setattr(_store_file, "MIGRATIONS", (*_store_file.MIGRATIONS, step))
    with pytest.raises(HistoryError, match="open it once for writing"):
        history.open_store(store.path, read_only=True)
    for read_only in (False, True):
        with history.open_store(store.path, read_only=read_only) as newer:
            assert newer._connection.execute("SELECT note FROM snapshots").fetchall() == [(None,)]
            same(newer.as_of(FIRST), on_day(0, {"value": 1}))
