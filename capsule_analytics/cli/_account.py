"""Which account to load, and how: the part of their arguments that the commands share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import click

from capsule_analytics._safe_text import keep_secret
from capsule_analytics.errors import ConfigError

from ._options import TOKEN_VARIABLE
from ._run import say

if TYPE_CHECKING:
    from pathlib import Path

    from capsule_analytics.api import CapsuleClient


class NothingToLoadError(click.UsageError):
    """Nothing says what to load: tells what to try, in three lines."""

    def __init__(self) -> None:
        super().__init__(
            "capsule-report --sample              shows all there is on an invented account\n"
            "capsule-report --account NAME        reports NAME.capsulecrm.com, with its token in "
            f"{TOKEN_VARIABLE}\n"
            "capsule-report --init                writes capsule.toml, which keeps the options"
        )

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the three lines alone."""
        click.echo(self.message, file=file)


@dataclass(frozen=True, kw_only=True)
class AccountArgs:
    """Which account, and how to reach it.

    Attributes
    ----------
    sample, account, base_url
        The sample account, a live one by its subdomain, or another server.
    api_version
        v1 or v2.
    token_file
        The file that holds the token; None where a variable does.
    timeout
        Seconds within which each page must arrive.
    max_wait
        Seconds that a page may wait for the server's request limit.
    workers
        Pages to fetch at the same time.
    resume
        Take up a long load that failed.
    verbose
        Say more about what went wrong; read by `run`.
    """

    sample: bool
    account: str | None
    base_url: str | None
    api_version: str
    token_file: Path | None
    timeout: float
    max_wait: float
    workers: int
    resume: bool
    verbose: bool

    @property
    def live(self) -> bool:
        """Whether it is loaded over the network."""
        return self.account is not None or self.base_url is not None

    def one_account(self) -> None:
        """Insist on exactly one place to load from."""
        if sum((self.sample, self.account is not None, self.base_url is not None)) != 1:
            raise click.UsageError("give one of --sample, --account and --base-url")

    def connect(self) -> CapsuleClient:
        """Open the connection to a live account."""
        from capsule_analytics import CapsuleClient  # noqa: PLC0415 - pandas, not for --help

        from . import _terminal  # noqa: PLC0415 - pandas, not for --help

        return CapsuleClient(
            self.account,
            _token(self.token_file),
            api_version=self.api_version,
            base_url=self.base_url,
            timeout=self.timeout,
            max_wait=self.max_wait,
            on_wait=_terminal.announce_wait(self.account or str(self.base_url)),
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
    """Read a token from a file, as `read_secret` does."""
    return read_secret(file, "token")


def read_secret(file: Path, what: str) -> str:
    """Read a secret from a file, and show it no more; say so where others can read it too.

    Raises
    ------
    ConfigError
        If the file cannot be read, or is empty.
    """
    try:
        if os.name == "posix" and file.stat().st_mode & 0o077:
            say(f"Warning: others can read {file}; run chmod 600 on it.", error=True)
        secret = file.read_text(encoding="utf-8-sig").strip()  # editors on Windows write a mark
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the {what} file cannot be read: {error}") from error
    if not secret:
        raise ConfigError(f"the {what} file {file} is empty")
    keep_secret(secret)
    return secret
