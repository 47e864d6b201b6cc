"""An account in memory that changes at every point at which a request can fall.

It speaks the protocol of a client without HTTP, remembers every state that it was in, and lets
requests that are under way be answered in any order. `PLANS` generates what happens to it, within
what ARCHITECTURE.md assumes ("Why a load is complete").
"""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

from hypothesis import strategies as st

from capsule_analytics.api import _v1, _v2
from capsule_analytics.api._protocol import Deleted, Page, Query
from capsule_analytics.errors import NotFoundError
from capsule_analytics.load import _paging
from capsule_analytics.load._complete import ChangeFeed, read_completely
from capsule_analytics.load._frame import Setting, milestone_frame
from capsule_analytics.schema import RAW_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START = datetime(2026, 10, 15, 9, tzinfo=UTC)
OLD = -86_400.0
State = Counter[tuple[Any, str]]


@dataclass
class Deal:
    """A record; `key` tells records without an id apart."""

    key: int
    has_id: bool = True
    text: int = 0  # what it says
    stamp: float = OLD
    listed: bool = True  # whether the filter, if there is one, lets it through
    born: float = OLD


ORDERS: dict[str, Callable[[Deal], Any]] = {
    "id": lambda deal: deal.key,
    "-id": lambda deal: -deal.key,
    "updated": lambda deal: (int(deal.stamp), deal.key),
    "-updated": lambda deal: (-int(deal.stamp), deal.key),
    "text": lambda deal: ((deal.key * 7919 + deal.text * 104729) % 101, deal.key),
    "added": lambda _: 0,  # what was added or restored last stands last
}


class Event(NamedTuple):
    """Something that happens before a request is answered."""

    before: int
    kind: str
    which: int
    linger: bool


class World(NamedTuple):
    """An account, the server that shows it, and what will happen to it."""

    api: Any
    count: int
    nameless: frozenset[int]
    trashed: frozenset[int]
    returned: frozenset[int]
    recent: frozenset[int]
    order: str
    cap: int
    page_size: int
    workers: int
    seconds: float
    skew: int
    filtered: bool
    tells_total: bool
    plan: tuple[Event, ...]
    luck: int | random.Random


KINDS = ("create", "update", "update", "revert", "delete", "delete", "restore", "hide", "drop")
PLANS = st.builds(
    World,
    api=st.sampled_from([_v1, _v2]),
    count=st.integers(0, 12),
    nameless=st.one_of(st.just(frozenset[int]()), st.frozensets(st.integers(1, 12), max_size=3)),
    trashed=st.frozensets(st.integers(1, 12), max_size=2),
    returned=st.frozensets(st.integers(1, 12), max_size=2),
    recent=st.frozensets(st.integers(1, 12), max_size=4),
    order=st.sampled_from(sorted(ORDERS)),
    cap=st.integers(1, 6),
    page_size=st.integers(1, 7),
    workers=st.integers(1, 3),
    seconds=st.sampled_from([0.0, 0.1, 0.4, 1.1]),
    skew=st.sampled_from([0, 0, -200, 200]),
    filtered=st.sampled_from([False, False, False, True]),
    tells_total=st.booleans(),
    plan=st.lists(
        st.builds(
            Event,
            before=st.one_of(st.integers(1, 12), st.integers(1, 30)),
            kind=st.sampled_from(KINDS),
            which=st.integers(0, 11),
            linger=st.booleans(),
        ),
        max_size=8,
    ).map(tuple),
    luck=st.integers(0, 2**16),
)


class MovingAccount:
    """The account of a `World`, as a client shows it.

    Attributes
    ----------
    states
        Every state that it was in: how often it had each (id, text).
    """

    def __init__(
        self, world: World, *, tells_changes: bool = True, tells_gone: bool = True
    ) -> None:
        self.world = world
        self.api = world.api
        self.account = "moving"
        self.tells = tells_changes and tells_gone
        self._tells_changes, self._tells_gone = tells_changes, tells_gone
        self.shuffles: random.Random | None = None  # gives each answer an order of its own
        self.clock = 0.0
        self.asked = 0
        self.transport = SimpleNamespace(
            server_time=START, interrupt=lambda: None, wait=self._wait, root="moving"
        )
        self.deals = [
            Deal(key, key not in world.nameless, key % 4, listed=key % 3 > 0)
            for key in range(1, world.count + 1)
        ]
        for deal in self.deals:
            if deal.key in world.recent:
                deal.stamp = world.skew - 5.0 * (deal.key % 3) - (0.2 if world.seconds else 3)
        self.trash: list[Deal] = []
        self.gone: dict[int, float] = {}  # the list of the deleted
        self.hidden: dict[int, None] = {}
        self._away: set[int] = set()  # deleted in this load
        for deal in list(self.deals):
            if not deal.has_id:
                continue
            if deal.key in world.returned | world.trashed:
                self.gone[deal.key] = world.skew - 60.0
            if deal.key in world.trashed - world.returned:
                self.deals.remove(deal)
                self.trash.append(deal)
        self._next = world.count + 1
        self.states: list[State] = []
        self._remember()

    # What happens

    def _remember(self) -> None:
        self.states.append(
            Counter(
                (deal.key if deal.has_id else None, str(deal.text))
                for deal in self.deals
                if deal.listed or not self.world.filtered
            )
        )

    def _wait(self, seconds: float) -> None:
        self.clock += seconds

    def _tick(self) -> None:
        """Let time pass, and what the plan has for this request happen."""
        self.asked += 1
        self.clock += self.world.seconds
        for event in self.world.plan:
            if event.before == self.asked:
                self._happen(event)
        self.transport.server_time = START + timedelta(seconds=self.clock)

    def _happen(self, event: Event) -> None:
        now = self.clock + self.world.skew
        deal = self.deals[event.which % len(self.deals)] if self.deals else None
        match event.kind:
            case "create":
                named = event.which > 0 or not self.world.nameless
                self.deals.append(Deal(self._next, named, self._next % 4, now, born=now))
                self._next += 1
            case "update" if deal is not None:
                deal.text += 1
                deal.stamp = now
                deal.listed ^= event.linger
            case "revert" if deal is not None and deal.text and not self.world.filtered:
                deal.text -= 1
                deal.stamp = now
            case "delete" | "hide" if deal is not None and self._may_go(event, deal):
                self.deals.remove(deal)
                self._away.add(deal.key)
                if event.kind == "hide":
                    self.hidden[deal.key] = None
                elif deal.has_id:
                    self.trash.append(deal)
                    self.gone[deal.key] = now
            case "restore" if self.trash and self.tells:
                self._restore(event, now)
            case "drop" if self.trash and self.trash[0].key not in self._away:
                del self.gone[self.trash.pop(0).key]
        self._remember()

    def _restore(self, event: Event, now: float) -> None:
        """Only what was deleted before the load may come back without a new time of change.

        Then it leaves the list of the deleted, where it may stay otherwise.
        """
        deal = self.trash[event.which % len(self.trash)]
        if deal.key in self._away and _stamp(now) == _stamp(deal.stamp):
            return  # it would have no new time within this second
        self.trash.remove(deal)
        if deal.key in self._away or event.linger:
            deal.stamp = now
        if not event.linger:
            del self.gone[deal.key]
        self.deals.append(deal)

    def _may_go(self, event: Event, deal: Deal) -> bool:
        """Nothing is deleted twice in a load; where no one tells, nothing comes and goes."""
        named = deal.has_id or event.kind == "delete"
        return named and deal.key not in self._away and (self.tells or deal.born == OLD)

    # What is asked

    def fetch_page(
        self,
        query: Query,
        position: int,
        limit: int,
        keep: Any = None,  # noqa: ARG002 - as a client
    ) -> Page:
        self._tick()
        deals = sorted(self.deals, key=ORDERS[self.world.order])
        if self.shuffles is not None:
            self.shuffles.shuffle(deals)
        if query.changed_since is not None and self._tells_changes:
            since = (query.changed_since - START).total_seconds()
            deals = [deal for deal in deals if deal.stamp >= since]
        if query.milestone is not None:
            deals = [deal for deal in deals if deal.listed]
        size = min(limit, self.world.cap)
        first = position if self.api is _v1 else (position - 1) * size
        shown = deals[first : first + size]
        more = None if self.api is _v1 else first + size < len(deals)
        columns = {name: [None] * len(shown) for name in RAW_NAMES}
        columns["id"] = [self._raw(deal.key) if deal.has_id else None for deal in shown]
        columns["name"] = [str(deal.text) for deal in shown]
        columns["updated_at"] = [_stamp(deal.stamp) for deal in shown]
        total = len(deals) if self.world.tells_total else None
        return Page(columns, more if shown else False, total)

    def fetch_deleted(self, since: datetime) -> Deleted:
        self._tick()
        if not self._tells_gone:
            raise NotFoundError("no such path", 404)
        first = (since - START).total_seconds()
        return Deleted(
            [
                {"id": self._raw(key), "deleted_at": _stamp(moment)}
                for key, moment in self.gone.items()
                if moment >= first
            ],
            [{"id": self._raw(key), "deleted_at": None} for key in self.hidden],
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


def _stamp(seconds: float) -> str:
    return f"{START + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


class _Pool:
    """Requests under way: each is answered, and each answer arrives, when luck has it."""

    def __init__(self, luck: random.Random) -> None:
        self._luck = luck
        self._open: list[tuple[Future[Any], Any, Any]] = []

    def __call__(self, *_: Any, **__: Any) -> _Pool:
        return self

    def submit(self, call: Any, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._open.append((future, call, args))
        return future

    def shutdown(self, **_: Any) -> None:
        self._open.clear()

    def wait(self, futures: dict[Future[Any], Any], **_: Any) -> tuple[set[Future[Any]], Any]:
        while self._open and (
            self._luck.random() < 0.6 or not any(future.done() for future in futures)
        ):
            future, call, args = self._open.pop(self._luck.randrange(len(self._open)))
            try:
                future.set_result(call(*args))
            except Exception as error:  # noqa: BLE001 - as an executor does
                future.set_exception(error)
        return {self._luck.choice([future for future in futures if future.done()])}, None


class LastFirst(random.Random):
    """What was asked last is answered first, and all of it before anything arrives."""

    def random(self) -> float:
        return 0.0

    def randrange(self, stop: int) -> int:  # type: ignore[override]
        return stop - 1

    def choice(self, seq: Any) -> Any:
        return seq[-1]


@contextmanager
def in_any_order(luck: int | random.Random) -> Iterator[None]:
    """Let requests that are under way together be answered in an order that is drawn."""
    pool = _Pool(random.Random(luck) if isinstance(luck, int) else luck)  # noqa: S311 - no secret
    # As if answers were long on their way, so that all workers are put to use.
    clock = SimpleNamespace(perf_counter=count().__next__, thread_time=lambda: 0.0)
    with (
        patch.object(_paging, "ThreadPoolExecutor", pool),
        patch.object(_paging, "wait", pool.wait),
        patch.object(_paging, "time", clock),
    ):
        yield


def read(account: MovingAccount) -> State:
    """Load the account; return what came, as `MovingAccount.states` has it."""
    world = account.world
    with in_any_order(world.luck):
        reading = read_completely(
            account,  # type: ignore[arg-type] # a client as far as it is asked
            Query(milestone="Lead" if world.filtered else None),
            began=START,
            workers=world.workers,
            page_size=world.page_size,
        )
    frame, findings = reading.assembler.finish(
        Setting(milestone_frame([], typed=account.api.TYPED)), gone=reading.gone
    )
    assert "duplicate_id" not in {finding.check for finding in findings}
    return Counter(
        (None if key < 0 else key, text)
        for key, text in zip(frame.index, frame["name"], strict=True)
    )


def brought_up_to_date(account: MovingAccount) -> State:
    """Return the account at first with what changed since, as `MovingAccount.states` has it."""
    held = dict(account.states[0].keys())
    with in_any_order(account.world.luck):
        changes = ChangeFeed(account, START).settle()  # type: ignore[arg-type]
    assert changes is not None
    for key in changes.gone.keys() - changes.ids:
        held.pop(key, None)
    for page in changes.pages:
        held |= zip(map(int, page["id"]), page["name"], strict=True)
    return Counter(held.items())
