"""``capsule-snapshot``: record how accounts stand, so that later days can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capsule_analytics import __version__

from ._account import account_options, connect, is_typed, one_account, typed_wins
from ._accounts import read_accounts
from ._config import config_option
from ._run import finish, run, say

if TYPE_CHECKING:
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


@click.command(epilog=_EXAMPLE, context_settings={"max_content_width": 100})
@account_options
@click.option(
    "--accounts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=typed_wins,
    help="Record all accounts of a TOML file, several at once; see below.",
)
@click.option(
    "--store",
    "store_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The snapshot store; default history.duckdb in the user's data folder, but not for"
    " --sample, which would mix an invented company into it.",
)
@click.option("--full", is_flag=True, help="Load everything, not only what changed.")
@click.option(
    "--full-every",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    metavar="DAYS",
    help="Load everything if the last time was so long ago.",
)
@click.option(
    "--export",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Also write every day of the store as Parquet, by account and day.",
)
@config_option("capsule_analytics.cli:report", "capsule_analytics.cli:snapshot")
@click.option("--verbose", is_flag=True, help="Say more about what went wrong.")
@click.version_option(__version__, prog_name="capsule-snapshot")
def snapshot(  # noqa: PLR0917 - click passes them by name
    accounts: Path | None,
    store_path: Path | None,
    full: bool,
    full_every: int,
    export: Path | None,
    verbose: bool,  # noqa: ARG001 - read by `run`
    **account: Any,  # noqa: ANN401 - as for `load_account`
) -> None:
    """Record a snapshot of a Capsule CRM account, or of many, in a local store.

    The first time everything is loaded, later what changed since the last snapshot. Two runs
    without a change between them add nothing but a line to the list of snapshots. Of many accounts
    one that fails is told in a line and stops no other; the exit code is 1 then.
    """
    context = click.get_current_context()
    single = {name: account[name] for name in ("sample", "account", "base_url")}
    if accounts is None:
        one_account(**single)
    elif any(single.values()) or is_typed(context, "token_file"):
        raise click.UsageError("--accounts says which accounts and tokens: give it alone")
    if single["sample"] and (
        store_path is None or (is_typed(context, "sample") and not is_typed(context, "store_path"))
    ):
        raise click.UsageError(
            "--sample needs --store with a file of its own: its company is invented, and belongs "
            "in no store of real accounts"
        )
    several = None if accounts is None else read_accounts(accounts)
    from capsule_analytics import history  # noqa: PLC0415 - pandas, not for --help

    from . import _recording  # noqa: PLC0415 - pandas, not for --help

    how = _recording.Loading(full, full_every, account.pop("workers"), account.pop("resume"))
    failed = 0
    with history.open_store(store_path) as store:
        if several is not None:
            for name, found in _recording.record_all(
                store, several, how, account["timeout"], account["max_wait"]
            ):
                if isinstance(found, Exception):
                    failed += 1
                    say(f"Error: {name}: {found}", error=True)
                else:
                    _tell(name, found, store)
        elif account.pop("sample"):
            name = _record_sample(store)
            _tell(name, store.snapshots(name).iloc[-1], store)
        else:
            name = _record_live(store, how, **account)
            _tell(name, store.snapshots(name).iloc[-1], store)
        if export is not None:
            files = store.export_parquet(export)
            say(f"Parquet: {len(files):,} files in {export}")
    if failed:
        raise click.ClickException(f"{failed} of {len(several or ())} accounts not recorded")


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


def _record_live(
    store: Store,
    how: Loading,
    **connection: Any,  # noqa: ANN401 - as for `connect`
) -> str:
    """Record an account over the network; return its name in the store."""
    from . import _recording, _terminal  # noqa: PLC0415 - pandas, not for --help

    with connect(**connection) as client, _terminal.loading(client.account) as progress:
        return _recording.record(store, client, how, progress=progress)


def main() -> None:
    """Run ``capsule-snapshot``."""
    finish(run(snapshot))
