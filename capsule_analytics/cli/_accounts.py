"""``accounts.toml``: many accounts to snapshot in one run, and where each has its token."""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from capsule_analytics.errors import ConfigError

from ._account import read_token

if TYPE_CHECKING:
    from pathlib import Path

    from capsule_analytics.api import CapsuleClient

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
    token_env
        The variable that holds its token; None where a file does.
    token_file
        The file that holds its token.
    """

    name: str | None
    base_url: str | None
    api_version: str
    token_env: str | None
    token_file: Path | None

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return self.name or str(self.base_url)

    def connect(self, timeout: float, max_wait: float) -> CapsuleClient:
        """Open a connection of its own, with its own rate limit.

        Raises
        ------
        ConfigError
            If the token is not where it should be.
        """
        from capsule_analytics import CapsuleClient  # noqa: PLC0415 - pandas, not for --help

        from . import _terminal  # noqa: PLC0415 - pandas, not for --help

        return CapsuleClient(
            self.name,
            self._token(),
            api_version=self.api_version,
            base_url=self.base_url,
            timeout=timeout,
            max_wait=max_wait,
            on_wait=_terminal.announce_wait(self.label),
        )

    def _token(self) -> str:
        if self.token_file is not None:
            return read_token(self.token_file)
        token = os.environ.get(str(self.token_env), "").strip()
        if not token:
            raise ConfigError(f"the variable {self.token_env} is not set")
        return token


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
        If it is no TOML, has a key that is not known, or names an account twice. Nothing has been
        sent then.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
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
    variable, file = table.get("token-env"), table.get("token-file")
    if (variable is None) == (file is None):
        raise ConfigError(f"{where}: give one of token-env and token-file")
    return Account(name, base_url, version, variable, None if file is None else path.parent / file)
