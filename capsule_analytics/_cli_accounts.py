"""``accounts.toml``: many accounts to snapshot in one run, and where each has its token."""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from ._errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from .client import CapsuleClient

_KEYS = ("name", "base-url", "api-version", "token-env", "token-file")
_VERSIONS = ("v1", "v2")


@dataclass(frozen=True)
class Account:
    """One account of the file.

    Attributes
    ----------
    name
        Its subdomain, which also names it in the store; None for a server's only account.
    base_url
        Another server than Capsule's.
    api_version
        v1 or v2.
    token
        The API token; never shown.
    """

    name: str | None
    base_url: str | None
    api_version: str
    token: str = field(repr=False)

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return self.name or str(self.base_url)

    def connect(self, timeout: float) -> CapsuleClient:
        """Open a connection of its own, with its own rate limit."""
        from . import CapsuleClient, _terminal  # noqa: PLC0415 - pandas, not for --help

        return CapsuleClient(
            self.name,
            self.token,
            api_version=self.api_version,
            base_url=self.base_url,
            timeout=timeout,
            on_wait=_terminal.announce_wait,
        )


def read_accounts(path: Path) -> list[Account]:
    """Read the accounts.

    Parameters
    ----------
    path
        A TOML file of tables ``[[account]]``, each with ``name`` (the subdomain) or ``base-url``
        or both, optionally ``api-version``, and either ``token-env`` (a variable that holds the
        token) or ``token-file`` (a file with it, from the folder of this file).

    Returns
    -------
    The accounts, in the order of the file.

    Raises
    ------
    ConfigError
        If it is no TOML, has a key that is not known, names an account twice, or a token is not
        where it should be. Nothing has been sent then.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    tables = data.get("account")
    if set(data) != {"account"} or not isinstance(tables, list) or not tables:
        raise ConfigError(f"{path}: write a table [[account]] for each account, and nothing else")
    accounts = [
        _account(table, path, f"{path}: account {number}")
        for number, table in enumerate(tables, start=1)
    ]
    labels = [account.label for account in accounts]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"{path}: the account {label!r} is there twice")
    return accounts


def _account(table: Any, path: Path, where: str) -> Account:  # noqa: ANN401 - what TOML holds
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is no table: write [[account]]")
    if "token" in table:
        raise ConfigError(
            f"{where}: the token does not belong in this file: name a variable with token-env "
            "or a file with token-file"
        )
    for key, value in table.items():
        if key not in _KEYS:
            (near,) = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.0)
            raise ConfigError(f"{where}: unknown key {key!r}; did you mean {near!r}?")
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{where}: {key} is text, not {value!r}")
    name, base_url = table.get("name"), table.get("base-url")
    if name is None and base_url is None:
        raise ConfigError(f"{where}: give its name (the subdomain) or a base-url")
    version = table.get("api-version", "v2")
    if version not in _VERSIONS:
        raise ConfigError(f"{where}: api-version is v1 or v2, not {version!r}")
    return Account(name, base_url, version, _token(table, path.parent, f"{where} ({name})"))


def _token(table: dict[str, str], folder: Path, where: str) -> str:
    variable, file = table.get("token-env"), table.get("token-file")
    if (variable is None) == (file is None):
        raise ConfigError(f"{where}: give one of token-env and token-file")
    if variable is not None:
        token = os.environ.get(variable, "").strip()
        if not token:
            raise ConfigError(f"{where}: the variable {variable} is not set")
        return token
    place = folder / str(file)
    try:
        if os.name == "posix" and place.stat().st_mode & 0o077:
            click.echo(f"Warning: others can read {place}; run chmod 600 on it.", err=True)
        token = place.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: the token file cannot be read: {error}") from error
    if not token:
        raise ConfigError(f"{where}: the token file {place} is empty")
    return token
