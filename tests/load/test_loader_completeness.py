"""No interleaving of changes makes a load miss a deal in silence: it is complete, or it fails.

The first part runs the loader against a simulated account whose clock ticks with every request,
so that hundreds of interleavings can be tried; the second against the sandbox over real sockets.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_account import Event, MovingAccount, World, in_any_order

import capsule_analytics as ca
from capsule_analytics.api import _v1, _v2
from capsule_analytics.api._protocol import Deleted, Page, Query
from capsule_analytics.errors import CompletenessError, DataError, NotFoundError
from capsule_analytics.load import _paging
from capsule_analytics.load._paging import Window, covers
from capsule_analytics.schema import RAW_NAMES

START = datetime(2026, 10, 15, 9, tzinfo=UTC)
ORDERS = {
    "id": lambda record: record[0],
    "-id": lambda record: -record[0],
    "updated": lambda record: (record[1], record[0]),
    "-updated": lambda record: (-record[1], record[0]),
    "name": lambda record: (record[0] * 7919 % 101, record[0]),
}


class SimulatedAccount:
    """An account of numbered deals that changes between requests by a plan."""

    def __init__(
        self, count: int, *, api: Any, cap: int, order: str, plan: dict[int, list[tuple[str, int]]]
    ) -> None:
        self.api = api
        self.account = "simulated"
        self.stamps = dict.fromkeys(range(1, count + 1), -86400)
        self.gone: dict[int, int] = {}
        self.next_id = count + 1
        self.clock = 0
        self.asked = 0
        self.tells_changes = True
        self._cap, self._order, self._plan = cap, order, plan
        self._lock = threading.Lock()
        self.transport = SimpleNamespace(
            server_time=START, interrupt=lambda: None, wait=lambda _: self._tick(changes=False)
        )

    def _tick(self, *, changes: bool) -> None:
        """Let a second pass, and whatever the plan has for this list request happen."""
        self.clock += 1
        self.transport.server_time = START + timedelta(seconds=self.clock)
        if not changes:
            return
        self.asked += 1
        for kind, which in self._plan.get(self.asked, []):
            self.clock += 1
            ids = sorted(self.stamps)
            if kind == "create" or not ids:
                self.stamps[self.next_id] = self.clock
                self.next_id += 1
            elif kind == "update":
                self.stamps[ids[which % len(ids)]] = self.clock
            else:
                victim = ids[which % len(ids)]
                del self.stamps[victim]
                self.gone[victim] = self.clock
        self.transport.server_time = START + timedelta(seconds=self.clock)

    def fetch_page(self, query: Query, position: int, limit: int) -> Page:
        with self._lock:
            self._tick(changes=query.changed_since is None)
            records = sorted(self.stamps.items(), key=ORDERS[self._order])
            if query.changed_since is not None and self.tells_changes:
                since = (query.changed_since - START).total_seconds()
                records = [record for record in records if record[1] >= since]
            size = min(limit, self._cap)
            first = position if self.api is _v1 else (position - 1) * size
            shown = records[first : first + size]
            more = None if self.api is _v1 else first + size < len(records)
            columns = {name: [None] * len(shown) for name in RAW_NAMES}
            columns["id"] = [self._raw(key) for key, _ in shown]
            columns["updated_at"] = [_stamp(stamp) for _, stamp in shown]
            return Page(columns, more if shown else False)

    def fetch_deleted(self, since: datetime) -> Deleted:
        with self._lock:
            self._tick(changes=False)
            first = (since - START).total_seconds()
            return Deleted(
                [
                    {"id": self._raw(key), "deleted_at": _stamp(stamp)}
                    for key, stamp in self.gone.items()
                    if stamp >= first
                ],
                [],
                more=False,
            )

    def _raw(self, key: int) -> Any:
        return str(key) if self.api is _v1 else key

    def resolve(self, query: Query) -> Query:
        return query

    def fetch_milestones(self) -> list[dict[str, Any]]:
        return []

    def list_currencies(self) -> list[str]:
        return []


def _stamp(seconds: int) -> str:
    return f"{START + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


plans = st.dictionaries(
    st.integers(1, 40),
    st.lists(
        st.tuples(st.sampled_from(["create", "update", "delete"]), st.integers(0, 60)),
        min_size=1,
        max_size=3,
    ),
    max_size=8,
)


@given(
    count=st.integers(0, 60),
    api=st.sampled_from([_v1, _v2]),
    page_size=st.integers(1, 20),
    cap=st.integers(1, 20),
    order=st.sampled_from(sorted(ORDERS)),
    workers=st.integers(1, 3),
    plan=plans,
)
@settings(max_examples=300, deadline=None)
def test_a_load_is_exactly_the_account_or_an_error(
    count: int, api: Any, page_size: int, cap: int, order: str, workers: int, plan: Any
) -> None:
    account = SimulatedAccount(count, api=api, cap=cap, order=order, plan=plan)
    try:
        pipeline = ca.load_pipeline(account, page_size=page_size, workers=workers)
    except CompletenessError:
        assert plan, "an account that holds still must load"
        return
    assert set(pipeline.opportunities.index) == set(account.stamps)
    assert "duplicate_id" not in set(pipeline.issues["check"])
    loaded = pipeline.opportunities["updated_at"]
    assert {key: (moment - START).total_seconds() for key, moment in loaded.items()} == (
        account.stamps
    )


@pytest.mark.parametrize("api", [_v1, _v2])
@pytest.mark.parametrize("order", sorted(ORDERS))
def test_changes_in_the_first_pass_are_repaired(api: Any, order: str) -> None:
    plan = {2: [("delete", 3), ("update", 30)], 3: [("create", 0)], 4: [("delete", 0)]}
    account = SimulatedAccount(95, api=api, cap=10, order=order, plan=plan)
    pipeline = ca.load_pipeline(account, page_size=10, workers=3)
    assert set(pipeline.opportunities.index) == set(account.stamps)


def test_an_account_that_never_holds_still_is_an_error() -> None:
    plan = {number: [("delete", number), ("create", 0)] for number in range(1, 500)}
    account = SimulatedAccount(40, api=_v1, cap=1, order="updated", plan=plan)
    with pytest.raises(CompletenessError, match="changed during each of 6 readings"):
        ca.load_pipeline(account, page_size=1, workers=1)


@pytest.mark.parametrize("api", [_v1, _v2])
def test_a_server_that_cannot_tell_changes_is_read_until_two_passes_agree(api: Any) -> None:
    account = SimulatedAccount(35, api=api, cap=10, order="id", plan={2: [("delete", 0)]})
    account.tells_changes = False
    pipeline = ca.load_pipeline(account, page_size=10, workers=2)
    assert set(pipeline.opportunities.index) == set(account.stamps)


def test_a_server_without_a_deleted_list_is_read_until_two_passes_agree() -> None:
    account = SimulatedAccount(35, api=_v1, cap=10, order="id", plan={3: [("delete", 0)]})

    def not_there(_: datetime) -> Deleted:
        raise NotFoundError("no such path", 404)

    account.fetch_deleted = not_there  # type: ignore[method-assign]
    pipeline = ca.load_pipeline(account, page_size=10, workers=1)
    assert set(pipeline.opportunities.index) == set(account.stamps)


def still(**about: Any) -> World:
    """Build an account of one page size, in the order of its ids, to which nothing happens."""
    return World(
        **{
            "api": _v1, "count": 9, "nameless": frozenset(), "trashed": frozenset(),
            "returned": frozenset(), "recent": frozenset(), "order": "id", "cap": 3,
            "page_size": 3, "workers": 1, "seconds": 0.4, "skew": 0, "filtered": False,
            "tells_total": False, "plan": (), "luck": 0, **about,
        }
    )  # fmt: skip


def loaded(account: MovingAccount) -> list[int]:
    with in_any_order(account.world.luck):
        pipeline = ca.load_pipeline(account, page_size=account.world.page_size)
    assert "duplicate_id" not in set(pipeline.issues["check"])
    return pipeline.opportunities.index.tolist()


class TestWithoutIds:
    """Records without an id cannot be told apart: they link nothing, and count once a pass."""

    def test_they_link_no_windows(self) -> None:
        """The list 1 2 _ 3 4 5 _ 6 7, of which 1 and then 2 go after the first page of a pass."""
        plan = (Event(4, "delete", 0, linger=False), Event(11, "delete", 0, linger=False))
        account = MovingAccount(still(nameless=frozenset({3, 7}), plan=plan))
        assert loaded(account) == [-2, -1, 4, 5, 6, 8, 9]

    @pytest.mark.parametrize("api", [_v1, _v2])
    def test_further_passes_do_not_add_them_again(self, api: Any) -> None:
        plan = tuple(Event(n, "update", 4, linger=False) for n in (4, 10))
        account = MovingAccount(still(api=api, nameless=frozenset({3, 7}), plan=plan))
        assert loaded(account) == [-2, -1, 1, 2, 4, 5, 6, 8, 9]

    def test_one_that_goes_unseen_moves_the_others_and_is_found_out(self) -> None:
        """No list of the deleted can name it; the list is shorter the next time."""
        plan = (Event(4, "delete", 2, linger=False),)
        account = MovingAccount(still(nameless=frozenset({3, 7}), plan=plan))
        assert loaded(account) == [-1, 1, 2, 4, 5, 6, 8, 9]


class TestDeleted:
    """What is named as deleted is there if it is shown after it was named."""

    @pytest.mark.parametrize("api", [_v1, _v2])
    def test_a_deal_that_was_restored_before_is_kept(self, api: Any) -> None:
        account = MovingAccount(still(api=api, returned=frozenset({2, 5})))
        assert loaded(account) == list(range(1, 10))

    @pytest.mark.parametrize("api", [_v1, _v2])
    def test_so_it_is_if_the_account_changes(self, api: Any) -> None:
        plan = (Event(4, "delete", 0, linger=False), Event(5, "update", 6, linger=False))
        account = MovingAccount(still(api=api, returned=frozenset({2, 5}), plan=plan))
        assert loaded(account) == list(range(2, 10))

    def test_a_deal_deleted_in_the_second_of_its_change_is_gone(self) -> None:
        plan = (Event(4, "update", 3, linger=False), Event(4, "delete", 3, linger=False))
        assert loaded(MovingAccount(still(plan=plan))) == [1, 2, 3, 5, 6, 7, 8, 9]

    @pytest.mark.parametrize("between", range(1, 14))
    def test_one_created_and_another_deleted_between_the_questions(self, between: int) -> None:
        """The set that has both, or neither, never existed."""
        plan = (
            Event(between, "create", 1, linger=False),
            Event(between + 1, "delete", 1, linger=False),
        )
        account = MovingAccount(still(count=2, plan=plan))
        assert loaded(account) in ([1, 2], [1, 2, 3], [1, 3])

    @pytest.mark.parametrize("key", [True, 1e300, 2.5, None, "x", "9" * 5000, [1], {}], ids=type)
    @pytest.mark.parametrize("api", [_v1, _v2])
    def test_an_id_that_is_none_names_no_deal(self, api: Any, key: Any) -> None:
        account = MovingAccount(still(api=api))
        rows = [{"id": key if api is _v2 else str(key), "deleted_at": key}]
        account.fetch_deleted = lambda _: Deleted(rows, rows, more=False)  # type: ignore[method-assign]
        assert loaded(account) == list(range(1, 10))

    def test_an_id_that_comes_twice_is_kept_once_and_flagged(self) -> None:
        """Only where the list stays so: else it has no order, and a deal may have been missed."""
        account = MovingAccount(still(api=_v2))
        fetch = account.fetch_page

        def doubled(query: Query, at: int, limit: int) -> Page:
            page = fetch(query, at, limit)
            if at == 3 and query.changed_since is None:
                page.columns["id"][2] = 1
            return page

        account.fetch_page = doubled  # type: ignore[method-assign]
        with in_any_order(0):
            pipeline = ca.load_pipeline(account, page_size=3)
        assert pipeline.opportunities.index.tolist() == list(range(1, 9))
        found = pipeline.issues.set_index("check")["opportunity_id"]
        assert found["duplicate_id"] == 1


class TestTotals:
    """A server that says how many there are is taken at its word, or the load fails."""

    def test_too_few_are_read_again_and_then_an_error(self) -> None:
        account = MovingAccount(still(api=_v2, tells_total=True))
        fetch = account.fetch_page
        account.fetch_page = lambda *asked: fetch(*asked)._replace(total=10)  # type: ignore[method-assign]
        with pytest.raises(
            CompletenessError, match=r"says that there are 10 records, but .* has 9"
        ):
            loaded(account)
        assert account.asked > 2 * (3 + 2)

    def test_the_right_number_is_silent(self) -> None:
        assert len(loaded(MovingAccount(still(api=_v2, tells_total=True)))) == 9


class TestBounds:
    """Nothing goes on for ever, and no page fills the memory."""

    def test_a_list_that_always_has_new_ids(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_paging, "MOST_RECORDS", 500)
        account = MovingAccount(still())
        account.fetch_page = lambda query, at, limit: (  # type: ignore[method-assign]
            endless(range(at, at + limit)) if query.changed_since is None else endless(range(0))
        )
        with pytest.raises(CompletenessError, match=r"the list does not end: 501 records"):
            loaded(account)

    def test_a_list_much_longer_than_the_server_says(self) -> None:
        account = MovingAccount(still())
        account.fetch_page = lambda query, at, limit: (  # type: ignore[method-assign]
            endless(range(at, at + limit))._replace(total=30)
            if query.changed_since is None
            else endless(range(0))
        )
        with pytest.raises(CompletenessError, match="though it says that there are 30"):
            loaded(account)

    def test_a_page_of_many_times_what_was_asked_for(self) -> None:
        account = MovingAccount(still())
        account.fetch_page = lambda *_: endless(range(301))  # type: ignore[method-assign]
        with pytest.raises(DataError, match="301 records where 3 were asked for"):
            loaded(account)


def endless(keys: range) -> Page:
    columns = {name: [None] * len(keys) for name in RAW_NAMES}
    columns["id"] = list(map(str, keys))
    return Page(columns, more=None if keys else False)


class TestCovers:
    """Windows prove coverage only when shared, unchanged records link start and end."""

    def test_adjacent_windows_prove_nothing(self) -> None:
        assert not covers([Window(0, 2, [1, 2]), Window(2, 2, [3], is_last=True)], set(), 0)

    def test_a_link_through_a_changed_record_does_not_count(self) -> None:
        windows = [Window(0, 2, [1, 2]), Window(0, 3, [1, 2, 3]), Window(2, 2, [3], is_last=True)]
        assert covers(windows, set(), 0)
        assert not covers(windows, {3}, 0)

    def test_the_end_must_be_reached(self) -> None:
        assert not covers([Window(0, 2, [1, 2]), Window(1, 2, [2, 3])], set(), 0)

    def test_nothing_read_covers_nothing(self) -> None:
        assert not covers([], set(), 0)
