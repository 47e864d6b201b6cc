"""``capsule.toml``: the options of the commands, kept in a file; what is typed wins."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

import click

from capsule_analytics.errors import ConfigError

from ._options import MCP_OPTIONS, REPORT_OPTIONS, SNAPSHOT_OPTIONS, WHERE, Option, long_names
from ._run import say

DEFAULT = Path("capsule.toml")
_INIT = f"{__name__}.init"
_SECRETS = {"token": "token", "smtp-password": "password", "slack-webhook": "webhook"}

_TEMPLATE = """\
# Options of capsule-report and capsule-snapshot, by their long names; what is typed wins.
# A line that begins with # does nothing: take the # away to use it.
# The token does not belong here: set CAPSULE_TOKEN, or name a file that only you can read.

# Which account. One of these; the token is made in Capsule under My Preferences, API
# Authentication Tokens.
# account = "acme"                  # as in https://acme.capsulecrm.com
# token-file = "token.txt"          # instead of the variable CAPSULE_TOKEN
# sample = true                     # an invented account, to look around

# Where the report goes, and in which form.
# out = "report"
# format = ["png", "svg"]           # png, svg, pdf; "none" for no charts
# html = true                       # report.html: all of it on one page
# xlsx = true                       # report.xlsx: all of it as a workbook

# Every week: record each report's account, so that the next one shows what changed since, and
# the projection learns. The store is a file; without this it lies in your data folder.
# snapshot = true
# store = "history.duckdb"
# full-every = 7                    # days after which everything is loaded again

# How deals are summed.
# home-currency = "GBP"             # convert every amount, at the ECB's reference rates
# rates = "rates.csv"               # or at your own: date,currency,rate
# fiscal-year-start = 4             # the first month of the fiscal year
# period = "quarter"                # month, quarter or year
# by = ["owner", "team"]            # owner, milestone, pipeline, team, tag, party
# overdue = "roll"                  # keep, roll or drop
# targets = "targets.csv"           # period,currency,owner,target; "capsule": the goals

# Who is sent the report, once it is whole. The password of the mail server comes from
# CAPSULE_SMTP_PASSWORD or a file, the address of the webhook from CAPSULE_SLACK_WEBHOOK or a file.
# email = ["ann@example.com"]
# smtp-host = "smtp.example.com"
# smtp-security = "starttls"        # starttls (port 587) or tls (port 465); smtp-port for another
# smtp-from = "forecast@example.com"
# smtp-user = "forecast@example.com"
# smtp-password-file = "smtp-password.txt"
# slack = true
# slack-webhook-file = "slack-webhook.txt"

# [thresholds]                      # least probabilities of the forecast categories
# commit = 0.8
# best-case = 0.5
"""


KNOWN = frozenset(long_names([*REPORT_OPTIONS, *SNAPSHOT_OPTIONS, *MCP_OPTIONS]))
"""Long names of the options that a file may hold: one file serves all commands."""


def _configure(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    """Take the file for the defaults of what is not typed; with ``--init``, write it and end."""
    path = value or DEFAULT
    if ctx.meta.get(_INIT):
        write_template(path)
        say(f"Wrote {path}; edit it, then run {ctx.info_name}.")
        ctx.exit()
    if path.is_file():
        ctx.default_map = _defaults(ctx.command, read_config(path), path)
    elif value is not None:
        raise click.UsageError(f"--config: the file {path} does not exist")


def _note_init(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta[_INIT] = value


CONFIG = Option(
    "--config",
    group=WHERE,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    expose_value=False,
    callback=_configure,
    help=f"File with options; default {DEFAULT} in the current folder, if there is one.",
)
"""Stands first among the options of a command: click reads what is not typed in their order."""

INIT = Option(
    "--init",
    group=WHERE,
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_note_init,
    help=f"Write a commented {DEFAULT}, or the file of --config, and end.",
)


def _defaults(command: click.Command, values: dict[str, Any], path: Path) -> dict[str, Any]:
    """Give a command its options of the file, in the form in which they are typed."""
    held = long_names(command.params)
    return {
        str(held[key].name): _as_typed(held[key], value, f"{path}: {key}")
        for key, value in values.items()
        if key in held
    }


def _as_typed(option: click.Option, value: Any, where: str) -> Any:  # noqa: ANN401 - what TOML holds
    several = value if isinstance(value, list) else [value]
    if any(isinstance(one, dict | list) for one in several):
        raise ConfigError(f"{where} takes a value, not {value!r}")
    typed = [one if option.is_flag and isinstance(one, bool) else str(one) for one in several]
    if option.multiple:
        return typed
    if "--format" in option.opts:
        return ",".join(map(str, typed))
    if len(typed) != 1:
        raise ConfigError(f"{where} takes one value, not {value!r}")
    return typed[0]


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Parameters
    ----------
    path
        The file, TOML.

    Returns
    -------
    Values by long name.

    Raises
    ------
    ConfigError
        If it is no TOML or has a key that no command knows; the message names the nearest.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    values = {key: value for key, value in data.items() if key != "thresholds"}
    thresholds = data.get("thresholds", {})
    if not isinstance(thresholds, dict):
        raise ConfigError(f"{path}: thresholds is a table: write [thresholds]")
    values |= thresholds
    for key in values:
        if key in KNOWN:
            continue
        if key in _SECRETS:
            raise ConfigError(
                f"{path}: the {_SECRETS[key]} does not belong in a configuration file"
            )
        near = difflib.get_close_matches(key, sorted(KNOWN), n=1, cutoff=0.0)
        raise ConfigError(f"{path}: unknown key {key!r}; did you mean {near[0]!r}?")
    return values


def write_template(path: Path = DEFAULT) -> None:
    """Write a commented configuration, never over one that is there.

    Raises
    ------
    ConfigError
        If there is a file already.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEMPLATE)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already; it is not overwritten") from error
