"""``capsule.toml``: the options of the commands, kept in a file; what is typed wins."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT = Path("capsule.toml")

_TEMPLATE = """\
# Options of capsule-report and capsule-snapshot, by their long names; what is typed wins.
# The token does not belong here: set CAPSULE_TOKEN, or name a file that only you can read.

# account = "acme"                  # as in https://acme.capsulecrm.com
# token-file = "token.txt"
# out = "report"

# home-currency = "GBP"             # convert every amount, at the ECB's reference rates
# rates = "rates.csv"               # or at your own: date,currency,rate
# fiscal-year-start = 4             # the first month of the fiscal year
# period = "quarter"                # month, quarter or year
# by = ["owner"]                    # owner, milestone, pipeline, team, tag, party
# overdue = "roll"                  # keep, roll or drop
# targets = "targets.csv"           # period,currency,owner,target
# html = true

# [thresholds]                      # least probabilities of the forecast categories
# commit = 0.8
# best-case = 0.5
"""


def config_option(*commands: str) -> Callable[[Any], Any]:
    """Make the option ``--config``, which reads the file before the other options.

    Parameters
    ----------
    *commands
        ``module:name`` of the commands whose options the file may hold: one file serves them all.
    """

    def read(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:  # noqa: ARG001
        path = value or DEFAULT
        if value is None and not path.is_file():
            return
        known = {name for command in commands for name in _option_names(command)}
        ctx.default_map = read_config(path, known)

    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=read,
        help=f"File with options; default {DEFAULT} in the current folder, if there is one.",
    )


def _option_names(command: str) -> list[str]:
    module, _, name = command.partition(":")
    found: click.Command = getattr(__import__(module, fromlist=[name]), name)
    return [str(parameter.name) for parameter in found.params if parameter.name]


def read_config(path: Path, known: set[str]) -> dict[str, Any]:
    """Read a configuration file.

    Parameters
    ----------
    path
        The file, TOML.
    known
        Names of the options that it may hold, with underscores.

    Returns
    -------
    Values by option name, as click's default map.

    Raises
    ------
    ConfigError
        If it is no TOML or has a key that no command knows; the message names the nearest.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    values = {key: value for key, value in data.items() if key != "thresholds"}
    thresholds = data.get("thresholds", {})
    if not isinstance(thresholds, dict):
        raise ConfigError(f"{path}: thresholds is a table: write [thresholds]")
    values |= thresholds
    for key in values:
        if key.replace("-", "_") in known:
            continue
        if key == "token":
            raise ConfigError(f"{path}: the token does not belong in a configuration file")
        names = [name.replace("_", "-") for name in known]
        near = difflib.get_close_matches(key, names, n=1, cutoff=0.0)
        raise ConfigError(f"{path}: unknown key {key!r}; did you mean {near[0]!r}?")
    return {key.replace("-", "_"): value for key, value in values.items()}


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
