"""``capsule-snapshot``: record how accounts stand, so that later days can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from capsule_analytics import __version__

from ._account import AccountArgs
from ._accounts import read_accounts
from ._config import CONFIG
from ._options import SNAPSHOT_OPTIONS, Command, is_typed
from ._run import Kept, finish, run, say

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from capsule_analytics.history import Store

    from ._recording import Loading

_EXAMPLE = """\b
Examples, every night by cron:
  CAPSULE_TOKEN=... capsule-snapshot --account acme
  ACME_TOKEN=... capsule-snapshot --accounts accounts.toml

\b
accounts.toml has a table for each account:
  [[account]]
  name = "acme"               # as in https://acme.capsulecrm.com; or base-url = "..."
  token-env = "ACME_TOKEN"    # or token-file = "acme.token"
"""


@dataclass(frozen=True, kw_only=True)
class SnapshotArgs(AccountArgs):
    """What was asked of ``capsule-snapshot``: a field for each of `SNAPSHOT_OPTIONS`."""

    accounts: Path | None
    full: bool
    full_every: int
    store_path: Path | None
    export: Path | None


@click.command(
    cls=Command,
    params=[CONFIG, *SNAPSHOT_OPTIONS],
    epilog=_EXAMPLE,
    context_settings={"max_content_width": 100},
)
@click.version_option(__version__, prog_name="capsule-snapshot")
@click.pass_context
def snapshot(context: click.Context, /, **chosen: Any) -> None:  # noqa: ANN401 - see `SnapshotArgs`
    """Record a snapshot of a Capsule CRM account, or of many, in a local store.

    The first time everything is loaded, later what changed since the last snapshot. Two runs
    without a change between them add nothing but a line to the list of snapshots. Of many accounts
    one that fails is told in a line and stops no other; the exit code is 1 then.
    """
    args = SnapshotArgs(**chosen)
    _check(context, args)
    several = None if args.accounts is None else read_accounts(args.accounts)
    from capsule_analytics import history  # noqa: PLC0415 - pandas, not for --help

    from . import _recording  # noqa: PLC0415 - pandas, not for --help

    context.ensure_object(Kept).words = "what had been recorded before stays recorded"
    how = _recording.Loading(args.full, args.full_every, args.workers, args.resume)
    failed = 0
    with history.open_store(args.store_path) as store:
        if several is not None:
            for name, found in _recording.record_all(
                store, several, how, args.timeout, args.max_wait
            ):
                if isinstance(found, Exception):
                    failed += 1
                    say(f"Error: {name}: {found}", error=True)
                else:
                    _tell(name, found, store)
        else:
            name = _record_sample(store) if args.sample else _record_live(store, how, args)
            _tell(name, store.snapshots(name).iloc[-1], store)
        if args.export is not None:
            files = store.export_parquet(args.export)
            say(f"Parquet: {len(files):,} files in {args.export}")
    if failed:
        raise click.ClickException(f"{failed} of {len(several or ())} accounts not recorded")


def _check(context: click.Context, args: SnapshotArgs) -> None:
    """Refuse options that contradict each other."""
    if args.accounts is None:
        args.one_account()
    elif args.sample or args.live or is_typed(context, "token_file"):
        raise click.UsageError("--accounts says which accounts and tokens: give it alone")
    typed_alone = is_typed(context, "sample") and not is_typed(context, "store_path")
    if args.sample and (args.store_path is None or typed_alone):
        raise click.UsageError(
            "--sample needs --store with a file of its own: its company is invented, and belongs "
            "in no store of real accounts"
        )


def _tell(name: str, taken: pd.Series, store: Store) -> None:
    say(
        f"Snapshot of {name} at {taken['taken_at']:%Y-%m-%d %H:%M} UTC ({taken['kind']}): "
        f"{taken['deals']:,} deals, {taken['changed']:,} new or changed, "
        f"{taken['deleted']:,} deleted. Store: {store.path}"
    )


def _record_sample(store: Store) -> str:
    """Record the days of the sample account that are not in the store yet; return its name."""
    from capsule_analytics import history  # noqa: PLC0415 - pandas, not for --help

    days = history.sample_history()
    name = days[0].account
    known = store.snapshots(name)["taken_at"].max() if name in store.accounts() else None
    for pipeline in days:
        if known is None or pipeline.loaded_at > known:
            store.record(pipeline)
    return name


def _record_live(store: Store, how: Loading, args: SnapshotArgs) -> str:
    """Record an account over the network; return its name in the store."""
    from . import _recording, _terminal  # noqa: PLC0415 - pandas, not for --help

    with args.connect() as client, _terminal.loading(client.account) as progress:
        return _recording.record(store, client, how, progress=progress)


def main() -> None:
    """Run ``capsule-snapshot``."""
    finish(run(snapshot))
