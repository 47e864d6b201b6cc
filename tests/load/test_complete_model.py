"""Whatever happens while it is read: the result is the account at one moment, or an error."""

from __future__ import annotations

import os
import random

from hypothesis import event, given, settings
from moving_account import PLANS, MovingAccount, State, World, brought_up_to_date, read
from tries import TRIES

from capsule_analytics.errors import CompletenessError

TIMES = int(os.environ.get("CAPSULE_TEST_LONG", "1"))
"""How many times as many examples are tried; `make test-long` sets it."""


@given(PLANS)
@settings(max_examples=100 * TIMES, deadline=None)
def test_so_it_is_where_the_order_never_holds_still(world: World) -> None:
    """As long as nothing changes and every deal has an id, counting needs no order."""
    world = world._replace(plan=(), nameless=frozenset(), trashed=frozenset(), filtered=False)
    account = MovingAccount(world._replace(count=4 + world.count % 5))
    account.shuffles = random.Random(world.luck)  # noqa: S311 - not for secrets
    try:
        found = read(account)
    except CompletenessError:
        return
    finally:
        TRIES["lists whose order is another in each answer"] += 1
    assert found in account.states


def attempt(account: MovingAccount, server: str) -> State | None:
    try:
        return read(account)
    except CompletenessError:
        event("an error")
        assert account.world.plan, "an account that holds still must load"
        TRIES[f"interleavings, {server}: an error"] += 1
        return None
    finally:
        tell_interleaving(account, server)


def tell_interleaving(account: MovingAccount, server: str) -> None:
    """Count it; it is one if the account was another before the last answer."""
    TRIES[f"interleavings, {server}"] += any(s != account.states[0] for s in account.states)


@given(PLANS)
@settings(max_examples=400 * TIMES, deadline=None)
def test_a_load_is_the_account_at_one_moment_or_an_error(world: World) -> None:
    account = MovingAccount(world)
    found = attempt(account, "the whole list")
    assert found is None or found in account.states


@given(PLANS)
@settings(max_examples=100 * TIMES, deadline=None)
def test_so_it_is_where_the_server_cannot_tell_what_changed(world: World) -> None:
    world = world._replace(plan=tuple(e for e in world.plan if e.kind != "revert"))
    account = MovingAccount(world, tells_changes=world.luck % 2 > 0, tells_gone=world.luck % 2 == 0)
    found = attempt(account, "no word of what changed")
    assert found is None or found in account.states


@given(PLANS)
@settings(max_examples=100 * TIMES, deadline=None)
def test_an_earlier_load_and_what_changed_since_are_the_account_at_one_moment(world: World) -> None:
    # What comes back without a new time of change shows on pages alone, which are not read here.
    plan = tuple(e._replace(linger=True) if e.kind == "restore" else e for e in world.plan)
    world = world._replace(filtered=False, nameless=frozenset(), returned=frozenset(), plan=plan)
    account = MovingAccount(world)
    try:
        found = brought_up_to_date(account)
    except CompletenessError:
        assert world.plan
        TRIES["interleavings, changes since: an error"] += 1
        return
    finally:
        tell_interleaving(account, "changes since")
    assert found in account.states
