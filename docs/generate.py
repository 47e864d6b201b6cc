# ruff: noqa: INP001, T201
"""Write the pages that are made from the code: ``cli.md`` and ``columns.md``.

``python docs/generate.py`` writes them; with ``--check`` it only tells which are out of date, and
exits 1 if any is.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import tomllib
from pathlib import Path
from typing import Any

import click

from capsule_analytics import load_sample, quality, schema

FOLDER = Path(__file__).parent
_PROJECT = FOLDER.parent / "pyproject.toml"

_CLI_INTRO = """\
# Commands

What every command and option does. This page is written from the commands themselves by
`docs/generate.py`; `--help` shows the same in a terminal.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | failed; one line on standard error says why, more lines with `--verbose` |
| 2 | wrong usage: an option is unknown, missing or contradicts another |
| 130 | interrupted (Ctrl-C) |
| 143 | asked to end (TERM) |

The token is never an option, because other users of a machine can see the options of a running
command. See [connect your account](connect.md).
"""

_COLUMNS_INTRO = """\
# Columns

What the tables of a `Pipeline` hold. This page is written from `capsule_analytics.schema` and
`capsule_analytics.quality` by `docs/generate.py`. A report's `opportunities.csv` and
`data_quality.csv` have the same columns in the same order.

`tags`, `fields` and `missing_important_fields` are there only where they were asked for: with
`embed=["tags", "fields", "missingImportantFields"]` in Python, while a report asks for what it
needs. API v1 has none of them; the sample account has all.

`fields` is a dict for each deal. Values have the type of their definition: numbers are numbers,
dates are `datetime.date`, yes and no are booleans, all else is text (several choices as one text,
with semicolons). The key is the field's name; where several fields have that name, those of a
DataTag are `TAG: NAME` ("Licence: Reference"), and what is still the same gets its id. A value that
is not of its defined type stays as it came, with a finding.

A deal whose milestone has an id is joined by that alone. It keeps the names that it came with,
except that an owner or a team of one id goes by one name: today's user name, or that of the deal
that changed last.

## Opportunities

One row an opportunity; the index is `id`. Text is `string[python]`, so that missing text is `<NA>`
under every pandas. Days are midnight UTC and are never shifted by a time zone.

| column | dtype | meaning |
|---|---|---|
"""

_DERIVED = {
    "tcv": "total contract value in `currency`: `value` where the basis is FIXED or absent, else "
    "`value` times `duration`; missing where either is",
    "status": "open, won or lost, by the milestone",
}
"""Columns that follow from the others; what they mean stands in `schema.Pipeline`, too."""

_ADDED = {
    "calibrated": "the corrected probability of an open deal, 0 to 1 (`calibration.calibrate`)",
    "original_currency": "`currency` before conversion (`fx.convert`)",
    "original_value": "`value` before conversion",
    "original_tcv": "`tcv` before conversion",
    "fx_asked": "day whose rate was asked for, as midnight UTC",
    "fx_rate": "what one unit of the original currency is worth in the home currency; missing "
    "where there is no rate",
    "fx_date": "day on which that rate was published, as midnight UTC",
}
"""Columns that functions, and the options of a report, add."""

_MILESTONES = {
    "id": "Capsule's id, the index where the API gives one",
    "name": "name",
    "description": "free text",
    "probability": "chance of winning that new deals at it get, 0 to 1",
    "complete": "whether a deal that reaches it is closed",
    "pipeline": "name of its pipeline (API v2)",
    "pipeline_id": "id of that pipeline (API v2)",
    "days_until_stale": "days at it after which an open deal is stale (API v2)",
    "archived": "whether no deal can come to it any more: it was deleted, or its pipeline archived",
}

_FINDINGS = {
    "missing_id": "the record has no id; kept under a negative number",
    "duplicate_id": "several records have this id; the newest is kept",
    "not_a_number": "what stands there is no number, or no whole one where that is needed",
    "text_number": "a number came as text; it is read as the number",
    "not_text": "something else stands where text belongs",
    "not_a_boolean": "something else stands where yes or no belongs; counts as missing",
    "field_type": "a custom field whose value is not of its defined type; it stays as it came",
    "bad_date": "a date that cannot be read, or does not exist; counts as missing",
    "probability_out_of_range": "a probability below 0 or above 100; counts as missing",
    "missing_name": "no name",
    "missing_value": "no value, so no figure has it; still counted among the deals",
    "negative_value": "a value below 0; it lowers the sums",
    "missing_currency": "a value without a currency; it has rows of its own",
    "unknown_currency": "a currency that the account does not list",
    "missing_duration": "a basis that needs a duration, and none: total contract value unknown",
    "negative_duration": "a duration below 0",
    "zero_duration": "a duration of 0, so that the deal is worth nothing",
    "unknown_duration_basis": "a basis that is none of those above",
    "unknown_milestone": "a milestone that the account does not list; counts as open",
    "missing_close_date": "open or won without a date, so in no month of the forecast",
    "missing_probability": "no probability, nor has its milestone one: no weighted value",
    "milestone_probability": "no probability of its own; that of its milestone is used",
    "missing_rate": "no exchange rate, so it keeps its currency (`fx.convert`, `--missing-rate`)",
    "overdue": "open, though its expected close lies before the as-of day",
    "stale": "open, and for more days at its milestone than the milestone's `days_until_stale`; "
    "`quality.stale` lists them",
    "neglected": "open, and its customer not spoken to for more than 30 days (if never, since the "
    "deal was entered); `quality.neglected` lists them",
}


def commands() -> dict[str, click.Command]:
    """Return the commands that the package installs, by name."""
    scripts = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["scripts"]
    found = {}
    for name, target in scripts.items():
        module = importlib.import_module(target.partition(":")[0])
        found[name] = getattr(module, name.removeprefix("capsule-"))
    return found


def cli_page() -> str:
    """Write the command-line reference."""
    return _CLI_INTRO + "".join(_command(name, one) for name, one in commands().items())


def _command(name: str, command: click.Command) -> str:
    options = [one for one in command.params if isinstance(one, click.Option)]
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    usage = " ".join([name, "[OPTIONS]", *(_argument(one) for one in arguments)])
    groups: dict[str, str] = {}
    for one in options:
        heading = getattr(one, "group", None) or "Other options"
        groups[heading] = groups.get(heading, "") + f"| {_names(one)} | {_meaning(one)} |\n"
    for last in ("Where", "Other options"):
        groups[last] = groups.pop(last, "")
    groups["Other options"] += "| `--help` | Show the options and exit. |\n"
    parts = [
        f"\n## {name}\n",
        f"```text\n{usage}\n```\n",
        inspect.cleandoc(command.help or "").replace("\b\n", "") + "\n",
        *(f"| {title} | |\n|---|---|\n{rows}" for title, rows in groups.items() if rows),
    ]
    if command.epilog:
        title, *lines = inspect.cleandoc(command.epilog).replace("\b\n", "").strip().split("\n")
        example = "\n".join(line.strip() for line in lines)
        parts.append(f"{title}\n\n```bash\n{example}\n```\n")
    return "\n".join(parts)


def _argument(one: click.Argument) -> str:
    name = one.metavar or (one.name or "").upper()
    return f"{name}{'...' if one.nargs != 1 else ''}"


def _names(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    return names if option.is_flag or option.count else f"{names} `{_placeholder(option)}`"


def _placeholder(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        # A bar would end the cell of the table.
        return ", ".join(map(str, option.type.choices))
    if option.metavar:
        return option.metavar
    names = {"integer": "NUMBER", "integer range": "NUMBER", "float range": "NUMBER"}
    return names.get(option.type.name, option.type.name.upper())


def _meaning(option: click.Option) -> str:
    notes = []
    if option.required:
        notes.append("required")
    if option.multiple:
        notes.append("may be given several times")
    if option.show_default and not option.is_flag:
        notes.append(f"default `{option.default}`")
    if isinstance(option.type, click.IntRange | click.FloatRange):
        notes.append(_range(option.type))
    text = (option.help or "").strip()
    meaning = f"{text} ({'; '.join(filter(None, notes))})" if any(notes) else text
    return meaning.strip().replace("|", "\\|")


def _range(bounds: Any) -> str:  # noqa: ANN401 - the two range types share no parent with bounds
    least, most = bounds.min, bounds.max
    if least is not None and most is not None:
        return f"{least} to {most}"
    if least is not None:
        return f"above {least}" if bounds.min_open else f"{least} or more"
    return "" if most is None else f"at most {most}"


def columns_page() -> str:
    """Write what the tables of a pipeline hold."""
    frame = load_sample().opportunities
    rows = [(one.name, one.kind.dtype, one.meaning) for one in schema.COLUMNS]
    rows += [(name, str(frame[name].dtype), text) for name, text in _DERIVED.items()]
    page = _COLUMNS_INTRO + "".join(
        f"| `{name}` | `{dtype}` | {meaning} |\n" for name, dtype, meaning in rows
    )
    page += (
        "\nAdded after these, in a report by `--probability calibrated` and `--home-currency`:\n"
        "\n| column | meaning |\n|---|---|\n"
    )
    page += "".join(f"| `{name}` | {meaning} |\n" for name, meaning in _ADDED.items())
    page += "\n## Milestones\n\n`Pipeline.milestones`, in the order of the account.\n"
    page += "\n| column | meaning |\n|---|---|\n"
    page += "".join(f"| `{name}` | {meaning} |\n" for name, meaning in _MILESTONES.items())
    page += (
        "\n## Findings\n\n`Pipeline.issues`: one row a finding, with `opportunity_id`, `check`, "
        "`severity` and `detail`. An\n*error* leaves a figure out of the forecast or makes it "
        "wrong, a *warning* may, an *info* tells what\nwas filled in. A deal with a finding is "
        "kept.\n\n| check | severity | what is wrong |\n|---|---|---|\n"
    )
    severities = quality.SEVERITIES | {one.name: one.severity for one in quality.CHECKS}
    return page + "".join(
        f"| `{name}` | {severity} | {_FINDINGS[name]} |\n"
        for name, severity in {**severities, "missing_rate": "error"}.items()
    )


PAGES = {"cli.md": cli_page, "columns.md": columns_page}


def main(arguments: list[str]) -> int:
    """Write the pages, or tell which are out of date."""
    stale = 0
    for name, write in PAGES.items():
        path, text = FOLDER / name, write()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if "--check" in arguments:
            print(f"{path} is out of date: run python docs/generate.py")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return int("--check" in arguments and stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
