"""The options that say which account to load, shared by the commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from capsule_analytics._safe_text import keep_secret
from capsule_analytics.errors import ConfigError

from ._run import Day, Seconds, say

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from capsule_analytics.api import CapsuleClient
    from capsule_analytics.schema import Pipeline

TOKEN_VARIABLE = "CAPSULE_TOKEN"  # noqa: S105 - the name of a variable


def options(*several: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Add options to a command, in the order in which they are written."""

    def decorate(command: Any) -> Any:  # noqa: ANN401 - what click decorates
        for option in reversed(several):
            command = option(command)
        return command

    return decorate


_PLACES = ("sample", "account", "base_url", "accounts", "portfolio")


def is_typed(ctx: click.Context, name: str) -> bool:
    """Tell whether an option was typed, and is not from the configuration or a default."""
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def typed_wins(ctx: click.Context, param: click.Parameter, value: Any) -> Any:  # noqa: ANN401
    """Leave out a place to load from that the configuration names, where another is typed.

    The callback of each option that names such a place; click reads what is typed first.
    """
    if is_typed(ctx, str(param.name)) or not any(is_typed(ctx, name) for name in _PLACES):
        return value
    return False if isinstance(value, bool) else None


account_options = options(
    click.option(
        "--sample",
        is_flag=True,
        callback=typed_wins,
        help="The sample account; no network, no token.",
    ),
    click.option(
        "--account", metavar="NAME", callback=typed_wins, help="Subdomain of a live account."
    ),
    click.option(
        "--base-url",
        metavar="URL",
        callback=typed_wins,
        help="Another server, such as the sandbox.",
    ),
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
        metavar="FILE",
        help=f"File with the API token; else it is read from {TOKEN_VARIABLE}.",
    ),
    click.option(
        "--timeout",
        type=Seconds(),
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="Seconds within which each page must arrive, retries included.",
    ),
    click.option(
        "--max-wait",
        type=Seconds(zero=True),
        default=3600.0,
        show_default=True,
        metavar="SECONDS",
        help="Seconds that a page may wait for the server's request limit to reset.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, 8),
        default=6,
        show_default=True,
        metavar="1-8",
        help="Pages to fetch at the same time.",
    ),
    click.option(
        "--resume", is_flag=True, help="Take up a long load that failed within the last day."
    ),
)
"""Which account, and how to reach it."""

filter_options = options(
    click.option("--milestone", metavar="NAME", help="Only deals at this milestone."),
    click.option("--tag", metavar="NAME", help="Only deals with this tag."),
    click.option("--owner", metavar="NAME", help="Only deals of this owner (user name)."),
    click.option(
        "--as-of",
        type=Day(),
        help="Day from which to look; default today (UTC), or the day of the sample account or of a"
        " portfolio's newest snapshot.",
    ),
)
"""Which of its deals, seen from which day."""


def load_account(
    *,
    sample: bool,
    account: str | None,
    base_url: str | None,
    milestone: str | None,
    tag: str | None,
    owner: str | None,
    as_of: date | None,
    embed: tuple[str, ...] = (),
    workers: int,
    resume: bool,
    **connection: Any,  # noqa: ANN401 - as for `connect`
) -> Pipeline:
    """Load what the options say, with a progress bar on a terminal."""
    one_account(sample=sample, account=account, base_url=base_url)
    from capsule_analytics import load_pipeline, load_sample  # noqa: PLC0415 - pandas, not for --help
    from capsule_analytics.load import select  # noqa: PLC0415

    from . import _terminal  # noqa: PLC0415 - pandas, not for --help

    if sample:
        return select(load_sample(as_of), milestone=milestone, tag=tag, owner=owner)
    with (
        connect(account, base_url, **connection) as client,
        _terminal.loading(client.account) as progress,
    ):
        return load_pipeline(
            client,
            milestone=milestone,
            tag=tag,
            owner=owner,
            embed=embed if client.api_version == "v2" else (),
            as_of=as_of,
            workers=workers,
            progress=progress,
            resume=resume,
        )


def one_account(*, sample: bool, account: str | None, base_url: str | None) -> None:
    """Insist on exactly one place to load from."""
    if sum((sample, account is not None, base_url is not None)) != 1:
        raise click.UsageError("give one of --sample, --account and --base-url")


def connect(
    account: str | None,
    base_url: str | None,
    *,
    api_version: str,
    token_file: Path | None,
    timeout: float,
    max_wait: float,
) -> CapsuleClient:
    """Open the connection that the options describe."""
    from capsule_analytics import CapsuleClient  # noqa: PLC0415 - pandas, not for --help

    from . import _terminal  # noqa: PLC0415 - pandas, not for --help

    return CapsuleClient(
        account,
        _token(token_file),
        api_version=api_version,
        base_url=base_url,
        timeout=timeout,
        max_wait=max_wait,
        on_wait=_terminal.announce_wait(account or str(base_url)),
    )


def _token(token_file: Path | None) -> str:
    """Read the token from the file, or from the environment; never from the command line."""
    if token_file is None:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            raise click.UsageError(f"no token: set {TOKEN_VARIABLE} or give --token-file")
        keep_secret(token)
        return token
    return read_token(token_file)


def read_token(file: Path) -> str:
    """Read a token from a file; say so where others can read it too.

    Raises
    ------
    ConfigError
        If the file cannot be read, or is empty.
    """
    try:
        if os.name == "posix" and file.stat().st_mode & 0o077:
            say(f"Warning: others can read {file}; run chmod 600 on it.", error=True)
        token = file.read_text(encoding="utf-8-sig").strip()  # editors on Windows write a mark
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the token file cannot be read: {error}") from error
    if not token:
        raise ConfigError(f"the token file {file} is empty")
    keep_secret(token)
    return token
