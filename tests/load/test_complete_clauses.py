"""What each clause of the proof is for: the one interleaving that only it sees.

`test_complete_model.py` tries everything at random; here stands what chance seldom finds. An
event's number is the request that it happens before: 1 and 2 ask what was deleted and what
changed, then come the pages of the first pass, and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from moving_account import Event, LastFirst, MovingAccount, World, brought_up_to_date, read

from capsule_analytics.api import _v2

if TYPE_CHECKING:
    from capsule_analytics.api._protocol import Page, Query


def still(**about: Any) -> World:
    return World(
        **{
            "api": _v2, "count": 6, "nameless": frozenset(), "trashed": frozenset(),
            "returned": frozenset(), "recent": frozenset(), "order": "id", "cap": 2,
            "page_size": 2, "workers": 1, "seconds": 0.1, "skew": 0, "filtered": False,
            "tells_total": False, "plan": (), "luck": LastFirst(), **about,
        }
    )  # fmt: skip


def happens(before: int, kind: str, which: int = 0, *, linger: bool = False) -> Event:
    return Event(before, kind, which, linger)


NAMELESS = frozenset(range(1, 7))


def test_the_second_pass_asks_for_one_page_at_a_time() -> None:
    """Page 3 of 1 2 | 3 4 | 5 6 is read, 1 goes, page 2 is read: it would show 4 5."""
    account = MovingAccount(still(nameless=NAMELESS, workers=3, plan=(happens(12, "delete"),)))
    assert read(account) in account.states


def test_no_change_hides_behind_one_of_the_same_second() -> None:
    """Of 1 2 3, 1 goes when it was read, and 4, which says the same, comes: 2 is never read."""
    plan = (happens(1, "revert"), happens(9, "create"), happens(9, "delete"))
    account = MovingAccount(still(count=3, nameless=NAMELESS, cap=1, page_size=1, plan=plan))
    assert read(account) in account.states


class TestAPassBetweenTwoAnswers:
    """A pass counts only if nothing was changed and nothing deleted while it was under way."""

    def test_what_changed_is_compared(self) -> None:
        """Of 6 1 | 4 2 | 5 3 the last page was read; 7 comes before 4, and page 2 shows 7 4."""
        account = MovingAccount(still(order="text", workers=3, plan=(happens(6, "create", 1),)))
        assert read(account) in account.states

    def test_what_was_deleted_is_compared(self) -> None:
        """Of 1 2 | 3 4 | 5 6 the first page was read; 1 goes, and the next ones show 4 5 | 6."""
        account = MovingAccount(still(plan=(happens(4, "delete"),)))
        assert read(account) in account.states

    def test_records_are_compared_and_not_only_their_times(self) -> None:
        """In a filtered list, 1 changes after it was read, and 2 before, in the same second.

        What had changed comes in two pages too.
        """
        changes = [happens(1, "update"), happens(1, "update", 1)]
        plan = (*changes, happens(5, "update"), happens(5, "update", 1))
        account = MovingAccount(still(count=4, filtered=True, cap=1, page_size=1, plan=plan))
        assert read(account) in account.states

    @pytest.mark.parametrize("named", [True, False])
    def test_pages_of_unlike_length_do_not_count(self, named: bool) -> None:
        """Page 2 of numbered ones comes short once, and nobody can tell what it left out."""
        account = MovingAccount(still(nameless=frozenset() if named else NAMELESS))
        fetch, short = account.fetch_page, [2]

        def cut(query: Query, at: int, limit: int) -> Page:
            page = fetch(query, at, limit)
            if query.changed_since is None and at in short:
                short.remove(at)
                return page._replace(columns={name: v[:1] for name, v in page.columns.items()})
            return page

        account.fetch_page = cut  # type: ignore[assignment]
        assert read(account) == account.states[0]


class TestTwoAnswersInARow:
    """Where all is linked, what changed and what was deleted must be one moment's.

    All 6 stand on one page; the change before it is read keeps it from being a quiet pass.
    """

    PAGE: ClassVar = {"cap": 9, "page_size": 9}

    def test_what_changed_is_compared(self) -> None:
        """Between the last two questions 1 goes, and 3 changes then: 1 and the new 3 never met."""
        plan = (happens(3, "update", 1), happens(7, "delete"), happens(7, "update", 1))
        account = MovingAccount(still(plan=plan, **self.PAGE))
        assert read(account) in account.states

    def test_what_was_deleted_is_compared(self) -> None:
        """5 came back, without a new time, before 1 went: they were never both away."""
        plan = (happens(3, "update", 1), happens(6, "restore"), happens(6, "delete"))
        account = MovingAccount(still(plan=plan, trashed=frozenset({5}), **self.PAGE))
        assert read(account) in account.states

    def test_records_are_compared_and_not_only_their_times(self) -> None:
        """As with what changed, but it had changed before in that second."""
        plan = (happens(3, "update", 1), happens(7, "delete"), happens(7, "update"))
        account = MovingAccount(still(plan=plan, **self.PAGE))
        assert read(account) in account.states


class TestWhatChangedSince:
    """So it is where an earlier load is brought up to date."""

    @pytest.mark.parametrize("before", [(), (happens(1, "update", 1),)], ids=["time", "record"])
    def test_what_changed_is_compared(self, before: tuple[Event, ...]) -> None:
        plan = (*before, happens(4, "delete"), happens(4, "update"))
        account = MovingAccount(still(plan=plan))
        assert brought_up_to_date(account) in account.states
