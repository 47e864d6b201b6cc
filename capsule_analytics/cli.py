"""``capsule-report``: an account's forecast as PNG and CSV."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from ._errors import CapsuleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import CapsuleClient
    from .schema import Pipeline

TOKEN_VARIABLE = "CAPSULE_TOKEN"  # noqa: S105 - the name of a variable
INTERRUPTED = 130

_EXAMPLE = """\b
Examples:
  capsule-report --sample --out report
  CAPSULE_TOKEN=... capsule-report --account acme --out report
"""


class _Day(click.ParamType):
    """A calendar day, YYYY-MM-DD."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: Any, ctx: Any) -> date:  # noqa: ANN401
        """Read the day."""
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no day of the form YYYY-MM-DD", param, ctx)


def account_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which account to load, and how."""
    for option in reversed(
        (
            click.option(
                "--sample", is_flag=True, help="The sample account; no network, no token."
            ),
            click.option("--account", metavar="NAME", help="Subdomain of a live account."),
            click.option("--base-url", metavar="URL", help="Another server, such as the sandbox."),
            click.option(
                "--api-version",
                type=click.Choice(["v1", "v2"]),
                default="v2",
                show_default=True,
                help="v1 is XML, v2 is JSON; live accounts answer v2.",
            ),
            click.option(
                "--token-file",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help=f"File with the API token; else it is read from {TOKEN_VARIABLE}.",
            ),
            click.option("--milestone", metavar="NAME", help="Only deals at this milestone."),
            click.option("--tag", metavar="NAME", help="Only deals with this tag."),
            click.option("--owner", metavar="NAME", help="Only deals of this owner (user name)."),
            click.option(
                "--as-of", type=_Day(), help="Day from which to look; default today (UTC)."
            ),
            click.option(
                "--timeout",
                type=click.FloatRange(min=0, min_open=True),
                default=60.0,
                show_default=True,
                help="Seconds within which each page must arrive, retries included.",
            ),
            click.option(
                "--workers",
                type=click.IntRange(1, 8),
                default=6,
                show_default=True,
                help="Pages to fetch at the same time.",
            ),
        )
    ):
        command = option(command)
    return command


@click.command(epilog=_EXAMPLE, context_settings={"max_content_width": 100})
@account_options
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder for the report; created if needed.",
)
@click.option(
    "--overdue",
    type=click.Choice(["keep", "roll", "drop"]),
    default="keep",
    show_default=True,
    help="Open deals whose close date has passed: keep them in their month, move them to this "
    "month, or leave them out.",
)
@click.option("--verbose", is_flag=True, help="Say more about what went wrong.")
@click.version_option(__version__, prog_name="capsule-report")
def report(out: Path, overdue: Any, verbose: bool, **account: Any) -> None:  # noqa: ANN401, ARG001
    """Write the sales forecast of a Capsule CRM account as charts and CSV files.

    The folder gets forecast.png and revenue.png, forecast.csv, revenue.csv, opportunities.csv
    and data_quality.csv.
    """
    from . import _terminal, forecast  # noqa: PLC0415 - pandas takes a second that --help has not
    from .report import Options, write_report  # noqa: PLC0415

    pipeline = load_account(**account)
    options = Options(overdue=overdue)
    files = write_report(pipeline, out, options)
    _terminal.summary(pipeline, forecast.by_month(pipeline, **options.placing()), files)


def load_account(
    *,
    sample: bool,
    account: str | None,
    base_url: str | None,
    as_of: date | None,
    milestone: str | None,
    tag: str | None,
    owner: str | None,
    workers: int,
    **connection: Any,  # noqa: ANN401
) -> Pipeline:
    """Load what the account options say."""
    if sum((sample, account is not None, base_url is not None)) != 1:
        raise click.UsageError("give one of --sample, --account and --base-url")
    from . import _terminal, load_pipeline, load_sample  # noqa: PLC0415
    from .loader import select  # noqa: PLC0415

    if sample:
        pipeline = load_sample(as_of)
        return select(pipeline, milestone=milestone, tag=tag, owner=owner)
    with (
        connect(account, base_url, **connection) as client,
        _terminal.loading(account or client.transport.root) as progress,
    ):
        return load_pipeline(
            client,
            milestone=milestone,
            tag=tag,
            owner=owner,
            as_of=as_of,
            workers=workers,
            progress=progress,
        )


def connect(
    account: str | None,
    base_url: str | None,
    *,
    api_version: str,
    token_file: Path | None,
    timeout: float,
) -> CapsuleClient:
    """Open the connection that the options describe."""
    from . import CapsuleClient, _terminal  # noqa: PLC0415

    return CapsuleClient(
        account,
        _token(token_file),
        api_version=api_version,
        base_url=base_url,
        timeout=timeout,
        on_wait=_terminal.announce_wait,
    )


def _token(token_file: Path | None) -> str:
    if token_file is None:
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            raise click.UsageError(f"no token: set {TOKEN_VARIABLE} or give --token-file")
        return token.strip()
    if os.name == "posix" and token_file.stat().st_mode & 0o077:
        click.echo(f"Warning: others can read {token_file}; run chmod 600 on it.", err=True)
    return token_file.read_text(encoding="utf-8").strip()


def run(command: click.Command, args: list[str] | None = None) -> int:
    """Run a command and turn what went wrong into one line and an exit code.

    Parameters
    ----------
    command
        The command.
    args
        Its arguments; None means those of the process.

    Returns
    -------
    0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    verbose = "--verbose" in (sys.argv if args is None else args)
    try:
        command.main(args, standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return 2
    except click.Abort:
        click.echo("Interrupted; nothing was written.", err=True)
        return INTERRUPTED
    except (CapsuleError, click.ClickException, OSError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"Error: {' '.join(message.split())}", err=True)
        cause = error.__cause__
        while verbose and cause is not None:
            click.echo(f"  because of {type(cause).__name__}: {cause}", err=True)
            cause = cause.__cause__
        return 1
    return 0


def finish(code: int) -> None:
    """End the process; when interrupted, without waiting for pages that are still under way."""
    sys.stdout.flush()
    sys.stderr.flush()
    if code == INTERRUPTED:
        os._exit(code)
    sys.exit(code)


def main() -> None:
    """Run ``capsule-report``."""
    finish(run(report))
