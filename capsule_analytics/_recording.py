"""Recording accounts in the snapshot store: everything, or what changed; one account, or many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from ._errors import CapsuleError
from .loader import load_changes, load_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    import pandas as pd

    from ._cli_accounts import Account
    from .client import CapsuleClient
    from .history import Store
    from .schema import Pipeline

AT_ONCE = 4
"""Accounts that are loaded at the same time."""


class Loading(NamedTuple):
    """How an account is loaded.

    Attributes
    ----------
    full
        Everything, not only what changed.
    full_every
        Everything if the last time was so many days ago.
    workers
        Pages to fetch at the same time.
    resume
        Take up a long load that failed.
    """

    full: bool
    full_every: int
    workers: int
    resume: bool


def record(
    store: Store,
    client: CapsuleClient,
    how: Loading,
    *,
    progress: Callable[[int], None] | None = None,
    alone: AbstractContextManager[object] | None = None,
) -> str:
    """Record an account over the network.

    Parameters
    ----------
    store
        The store.
    client
        The account.
    how
        How it is loaded.
    progress
        Called with the number of records of each page of a full load.
    alone
        Held while the store is used, where several threads share it.

    Returns
    -------
    Its name in the store.
    """
    alone = nullcontext() if alone is None else alone
    with alone:
        last = None if how.full else _last(store, client.account, how.full_every)
    embed = ("tags", "fields") if client.api_version == "v2" else ()
    if last is not None:
        update = load_changes(client, last.loaded_at.to_pydatetime(), embed=embed)
        # Another milestone configuration may change deals that were not touched.
        if update is not None and update.pipeline.milestones.equals(last.milestones):
            with alone:
                store.record_changes(update.pipeline, deleted_ids=update.deleted_ids)
            return client.account
    pipeline = load_pipeline(
        client, embed=embed, workers=how.workers, progress=progress, resume=how.resume
    )
    with alone:
        store.record(pipeline)
    return client.account


def _last(store: Store, account: str, full_every: int) -> Pipeline | None:
    """Return the last snapshot; None if everything must be loaded."""
    if account not in store.accounts():
        return None
    taken = store.snapshots(account)
    last_full = taken.loc[taken["kind"] == "full", "taken_at"].max()
    if datetime.now(UTC) - last_full >= timedelta(days=full_every):
        return None
    return store.as_of(taken["taken_at"].max(), account)


def record_all(
    store: Store, accounts: Sequence[Account], how: Loading, timeout: float
) -> Iterator[tuple[str, pd.Series | CapsuleError | OSError]]:
    """Record several accounts at the same time, each with its own connection and rate limit.

    Parameters
    ----------
    store
        The store; one account writes to it at a time.
    accounts
        The accounts.
    how
        How they are loaded.
    timeout
        Seconds within which each page must arrive.

    Yields
    ------
    As each is done: what it is called, and its newest row of `Store.snapshots`, or what went wrong.
    """
    lock = Lock()

    def one(account: Account) -> tuple[str, pd.Series]:
        with account.connect(timeout) as client:
            name = record(store, client, how, alone=lock)
        with lock:
            return name, store.snapshots(name).iloc[-1]

    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        waiting = {pool.submit(one, account): account for account in accounts}
        for done in as_completed(waiting):
            try:
                yield done.result()
            except (CapsuleError, OSError) as error:
                yield waiting[done].label, error
    finally:
        # An interrupted run must not wait for accounts that have not begun.
        pool.shutdown(wait=False, cancel_futures=True)
