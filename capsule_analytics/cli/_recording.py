"""Recording accounts in the snapshot store: everything, or what changed; one account, or many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from threading import Lock
from time import sleep
from typing import TYPE_CHECKING, NamedTuple

from capsule_analytics.errors import CapsuleError
from capsule_analytics.load import Earlier, load_changes, load_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    import pandas as pd

    from capsule_analytics.api import CapsuleClient
    from capsule_analytics.history import Store
    from capsule_analytics.schema import Pipeline

    from ._accounts import Account

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

    Notes
    -----
    Everything is loaded where the changes do not add up to the number of deals that the server
    gives.
    """
    alone = nullcontext() if alone is None else alone
    with alone:
        newest, last = _newest(store, client.account, how)
    pipeline, deleted_ids = _load(client, newest, last, how, progress)
    if pipeline.loaded_at == newest:
        # Servers tell the time in whole seconds, and a store holds one snapshot of a moment.
        sleep(1)
        pipeline, deleted_ids = _load(client, newest, last, how, progress)
    with alone:
        if deleted_ids is None:
            store.record(pipeline)
        else:
            store.record_changes(pipeline, deleted_ids=deleted_ids)
    return client.account


def _newest(store: Store, account: str, how: Loading) -> tuple[pd.Timestamp | None, Earlier | None]:
    """Return when the last snapshot was taken, and what it holds unless all must be loaded."""
    if account not in store.accounts():
        return None, None
    taken = store.snapshots(account)
    newest = taken["taken_at"].max()
    last_full = taken.loc[taken["kind"] == "full", "taken_at"].max()
    if how.full or datetime.now(UTC) - last_full >= timedelta(days=how.full_every):
        return newest, None
    return newest, Earlier(*store.newest(account))


def _load(
    client: CapsuleClient,
    newest: pd.Timestamp | None,
    last: Earlier | None,
    how: Loading,
    progress: Callable[[int], None] | None,
) -> tuple[Pipeline, list[int] | None]:
    """Load what changed since the last snapshot and what is gone, or everything and None."""
    v2 = client.api_version == "v2"
    embed = ("tags", "fields", "missingImportantFields") if v2 else ()
    if last is not None and newest is not None:
        update = load_changes(client, newest.to_pydatetime(), embed=embed, earlier=last)
        # Another milestone configuration may change deals that were not touched.
        if update is not None and update.pipeline.milestones.equals(last.milestones):
            return update
    pipeline = load_pipeline(
        client, embed=embed, workers=how.workers, progress=progress, resume=how.resume
    )
    return pipeline, None


def record_all(
    store: Store, accounts: Sequence[Account], how: Loading, timeout: float, max_wait: float
) -> Iterator[tuple[str, pd.Series | CapsuleError | OSError]]:
    """Record several accounts at the same time, each with its own connection and rate limit.

    Whatever goes wrong with one of them stops none of the others.

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
    max_wait
        Seconds that a page may wait for the request limit.

    Yields
    ------
    As each is done: what it is called, and its newest row of `Store.snapshots`, or what went wrong.
    """
    lock = Lock()

    def one(account: Account) -> tuple[str, pd.Series]:
        with account.connect(timeout, max_wait) as client:
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
            except Exception as error:  # noqa: BLE001 - the others must not pay for it
                yield waiting[done].label, _unexpected(error)
    finally:
        # An interrupted run must not wait for accounts that have not begun.
        pool.shutdown(wait=False, cancel_futures=True)


def _unexpected(error: Exception) -> CapsuleError:
    """Say what should not happen as the commands say it of a single account."""
    told = CapsuleError(
        f"this should not happen, please report it: {type(error).__name__}: {error}"
    )
    told.__cause__ = error
    return told
