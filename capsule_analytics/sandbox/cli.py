"""The command ``capsule-sandbox``."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from pathlib import Path

import click

from capsule_analytics import __version__
from capsule_analytics.cli import finish, read_token, run
from capsule_analytics.errors import ArgumentError

DEFAULT_TOKEN = "sandbox"  # noqa: S105


def _finite(_context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse what is not a number, which no range keeps out."""
    if math.isnan(value):
        raise click.BadParameter("must be a number", param=parameter)
    return value


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8043,
    show_default=True,
    help="The port to listen on; 0 takes any that is free.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="A loopback address, nothing else."
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the token to accept. Otherwise CAPSULE_SANDBOX_TOKEN, else 'sandbox'.",
)
@click.option(
    "--account",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The account file to serve. Otherwise the sample account.",
)
@click.option(
    "--page-limit",
    type=click.IntRange(1, 100),
    default=100,
    show_default=True,
    help="The most records in one answer.",
)
@click.option(
    "--latency",
    type=click.FloatRange(0, 3600),
    callback=_finite,
    default=0.0,
    show_default=True,
    help="Seconds that every answer takes longer.",
)
@click.option(
    "--quirk",
    "words",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Answer otherwise where Capsule's own answer is not known; any name lists them all.",
)
@click.option("--verbose", is_flag=True, help="Say more about what went wrong.")
@click.version_option(__version__, prog_name="capsule-sandbox")
def sandbox(  # noqa: PLR0917 - click passes them by name
    port: int,
    host: str,
    token_file: Path | None,
    account: Path | None,
    page_limit: int,
    latency: float,
    words: tuple[str, ...],
    verbose: bool,  # noqa: ARG001 - read by `run`
) -> None:
    """Serve a local Capsule CRM, API v1 and v2, until Ctrl-C."""
    token = _token(token_file)
    # Ctrl-C must end the command also where a shell started it in the background.
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    from .quirks import Quirks  # noqa: PLC0415 - not for --help
    from .server import Sandbox  # noqa: PLC0415 - not for --help

    try:
        quirks = Quirks.of(words)
    except ArgumentError as error:
        raise click.BadParameter(str(error), param_hint="--quirk") from error

    with Sandbox(
        account,
        token=token,
        host=host,
        port=port,
        page_limit=page_limit,
        latency=latency,
        quirks=quirks,
    ) as served:
        click.echo(f"The sandbox serves {len(served.account)} opportunities: {served.url}")
        shown = token if token == DEFAULT_TOKEN else "..."
        for version in ("v1", "v2"):
            click.echo(
                f"  CAPSULE_TOKEN={shown} capsule-report --base-url {served.url}"
                f" --api-version {version} --out report"
            )
        sys.stdout.flush()
        # A wait without end cannot be interrupted on every system.
        while not stop.wait(0.5):
            pass


def _token(path: Path | None) -> str:
    if path is None:
        return os.environ.get("CAPSULE_SANDBOX_TOKEN") or DEFAULT_TOKEN
    return read_token(path)


def main() -> None:
    """Run ``capsule-sandbox``."""
    finish(run(sandbox))
