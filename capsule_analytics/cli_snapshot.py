"""``capsule-snapshot``: record how an account stands, so that later days can be compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from ._cli_account import account_options, connect, one_account
from ._cli_config import config_option
from ._cli_run import finish, run

if TYPE_CHECKING:
    from .client import CapsuleClient
    from .history import Store

_EXAMPLE = """\b
Example, every night by cron:
  CAPSULE_TOKEN=... capsule-snapshot --account acme
"""


@click.command(epilog=_EXAMPLE, context_settings={"max_content_width": 100})
@account_options
@click.option(
    "--store",
    "store_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The snapshot store; default history.duckdb in the user's data folder.",
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
@config_option("capsule_analytics.cli:report", "capsule_analytics.cli_snapshot:snapshot")
@click.option("--verbose", is_flag=True, help="Say more about what went wrong.")
@click.version_option(__version__, prog_name="capsule-snapshot")
def snapshot(
    store_path: Path | None,
    full: bool,
    full_every: int,
    export: Path | None,
    verbose: bool,  # noqa: ARG001 - read by `run`
    **account: Any,  # noqa: ANN401 - as for `load_account`
) -> None:
    """Record a snapshot of a Capsule CRM account in a local store.

    The first time everything is loaded, later what changed since the last snapshot. Two runs
    without a change between them add nothing but a line to the list of snapshots.
    """
    one_account(**{name: account[name] for name in ("sample", "account", "base_url")})
    from . import history  # noqa: PLC0415 - pandas, not for --help

    with history.open_store(store_path) as store:
        if account["sample"]:
            for pipeline in history.sample_history():
                if _is_news(store, pipeline.account, pipeline.loaded_at):
                    store.record(pipeline)
            name = pipeline.account
        else:
            name = _record_live(store, full=full, full_every=full_every, **account)
        taken = store.snapshots(name).iloc[-1]
        click.echo(
            f"Snapshot of {name} at {taken['taken_at']:%Y-%m-%d %H:%M} UTC ({taken['kind']}): "
            f"{taken['deals']:,} deals, {taken['changed']:,} new or changed, "
            f"{taken['deleted']:,} deleted. Store: {store.path}"
        )
        if export is not None:
            files = store.export_parquet(export)
            click.echo(f"Parquet: {len(files):,} files in {export}")


def _is_news(store: Store, account: str, loaded_at: Any) -> bool:  # noqa: ANN401 - Timestamp
    return account not in store.accounts() or loaded_at > store.snapshots(account)["taken_at"].max()


def _record_live(
    store: Store,
    *,
    full: bool,
    full_every: int,
    sample: bool,  # noqa: ARG001 - the options come as one set
    workers: int,
    resume: bool,
    **connection: Any,  # noqa: ANN401 - as for `connect`
) -> str:
    """Record an account over the network; return its name in the store."""
    from . import _terminal, load_pipeline  # noqa: PLC0415 - pandas, not for --help

    with connect(**connection) as client:
        if full or not _update(store, client, full_every):
            with _terminal.loading(client.account) as progress:
                pipeline = load_pipeline(
                    client,
                    embed=_embed(client),
                    workers=workers,
                    progress=progress,
                    resume=resume,
                )
            store.record(pipeline)
        return client.account


def _update(store: Store, client: CapsuleClient, full_every: int) -> bool:
    """Record what changed since the last snapshot; False if everything must be loaded."""
    from .loader import load_changes  # noqa: PLC0415

    if client.account not in store.accounts():
        return False
    taken = store.snapshots(client.account)
    last_full = taken.loc[taken["kind"] == "full", "taken_at"].max()
    if datetime.now(UTC) - last_full >= timedelta(days=full_every):
        return False
    last = store.as_of(taken["taken_at"].max(), client.account)
    update = load_changes(client, last.loaded_at.to_pydatetime(), embed=_embed(client))
    # Another milestone configuration may change deals that were not touched.
    if update is None or not update.pipeline.milestones.equals(last.milestones):
        return False
    store.record_changes(update.pipeline, deleted_ids=update.deleted_ids)
    return True


def _embed(client: CapsuleClient) -> tuple[str, ...]:
    return ("tags", "fields") if client.api_version == "v2" else ()


def main() -> None:
    """Run ``capsule-snapshot``."""
    finish(run(snapshot))
