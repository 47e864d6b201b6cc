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

import capsule_analytics as ca
from capsule_analytics.api import _v1, _v2
from capsule_analytics.api._protocol import Deleted, Page, Query
from capsule_analytics.errors import CompletenessError, NotFoundError
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
