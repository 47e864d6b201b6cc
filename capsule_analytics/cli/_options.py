"""The options of the commands, each declared once: what it is, what it needs, where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ._run import Day, Seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

ACCOUNT = "Account"
MANY = "Many accounts"
DEALS = "Which deals"
SUMS = "How they are summed"
CHANGES = "What is compared"
WRITTEN = "What is written"
SENT = "Who is sent it"
WHERE = "Where"
OTHER = "Other options"
_GROUPS = (ACCOUNT, MANY, DEALS, SUMS, CHANGES, WRITTEN, SENT, WHERE, OTHER)

TOKEN_VARIABLE = "CAPSULE_TOKEN"  # noqa: S105 - the name of a variable
PASSWORD_VARIABLE = "CAPSULE_SMTP_PASSWORD"  # noqa: S105 - the name of a variable
WEBHOOK_VARIABLE = "CAPSULE_SLACK_WEBHOOK"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Targets(click.Path):
    """A file of targets, or the word for the goals of the account."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401 - as click has it
        """Take the word as it is."""
        return value if value == GOALS else super().convert(value, param, ctx)


if TYPE_CHECKING:
    _Names = click.Choice[str]
else:  # click 8.1 has no type of choices
    _Names = click.Choice


class _Group(_Names):
    """What tables are grouped by: one of the choices, or a custom field by its name."""

    def convert(self, value: Any, param: Any, ctx: Any) -> str:  # noqa: ANN401 - as click has it
        """Take a custom field as it is; whether there is one, the deals will tell."""
        is_field = isinstance(value, str) and value.startswith(FIELD) and value != FIELD
        return value if is_field else super().convert(value, param, ctx)


def _name_and_value(_ctx: object, _param: object, pairs: tuple[str, ...]) -> tuple[Any, ...]:
    """Take names and values apart."""
    split = [pair.partition("=") for pair in pairs]
    for name, equals, _ in split:
        if not (name.strip() and equals):
            raise click.BadParameter('write it as "NAME=VALUE"')
    return tuple((name.strip(), value.strip()) for name, _, value in split)


FIELD = "field:"
"""What ``--by`` is given in front of the name of a custom field."""

GOALS = "capsule"
"""What ``--targets`` is given in place of a file."""

_TARGETS = _Targets(exists=True, dir_okay=False, path_type=Path)
_NEW_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_PLACES = ("sample", "account", "base_url", "accounts", "portfolio")


class Option(click.Option):
    """An option of a command.

    Parameters
    ----------
    *names
        Its names; where the last is no long name, it is what the option is called in the code.
    group
        The heading under which ``--help`` lists it.
    needs
        The option (as it is called in the code) without which it has no effect.
    portfolio
        Whether a report on a portfolio takes it.
    **attrs
        As for ``click.Option``.
    """

    def __init__(
        self,
        *names: str,
        group: str = OTHER,
        needs: str | None = None,
        portfolio: bool = False,
        **attrs: Any,  # noqa: ANN401 - as click has them
    ) -> None:
        super().__init__(names, **attrs)
        self.group = group
        self.needs = needs
        self.portfolio = portfolio


class Command(click.Command):
    """A command whose help lists the options by group."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the headings of their groups."""
        groups: dict[str, list[tuple[str, str]]] = {title: [] for title in _GROUPS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                groups[getattr(param, "group", OTHER)].append(record)
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def long_names(options: Iterable[click.Parameter]) -> dict[str, click.Option]:
    """Return the options that a configuration file may hold, by their long names."""
    return {
        name.removeprefix("--"): option
        for option in options
        if isinstance(option, click.Option) and option.expose_value and option.name != "verbose"
        for name in option.opts
        if name.startswith("--")
    }


def is_typed(ctx: click.Context, name: str) -> bool:
    """Tell whether an option was typed, and is not from the configuration or a default."""
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _typed_wins(ctx: click.Context, param: click.Parameter, value: Any) -> Any:  # noqa: ANN401
    """Leave out a place to load from that the configuration names, where another is typed.

    The callback of each option that names such a place; click reads what is typed first.
    """
    if is_typed(ctx, str(param.name)) or not any(is_typed(ctx, name) for name in _PLACES):
        return value
    return False if isinstance(value, bool) else None


def _formats(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """Read the comma-separated formats."""
    formats = tuple(dict.fromkeys(part.strip().lower() for part in value.split(",")))
    if formats == ("none",):
        return ()
    if not set(formats) <= {"png", "svg", "pdf"}:
        raise click.BadParameter("name png, svg or pdf, separated by commas, or none", ctx, param)
    return formats


def _share(name: str, default: float, explained: str, *, portfolio: bool = False) -> Option:
    """Make an option of a number from 0 to 1."""
    return Option(
        name,
        group=SUMS,
        portfolio=portfolio,
        type=click.FloatRange(0, 1),
        default=default,
        show_default=True,
        metavar="0-1",
        help=explained,
    )


def _full_every(group: str, needs: str | None = None) -> Option:
    """Make the option that both commands have, under a heading of its own in each."""
    return Option(
        "--full-every",
        group=group,
        needs=needs,
        type=click.IntRange(1, 36_500),
        default=7,
        show_default=True,
        metavar="DAYS",
        help="Load everything if the last time was so long ago.",
    )


ACCOUNT_OPTIONS = (
    Option(
        "--sample",
        group=ACCOUNT,
        is_flag=True,
        callback=_typed_wins,
        help="The sample account; no network, no token.",
    ),
    Option(
        "--account",
        group=ACCOUNT,
        metavar="NAME",
        callback=_typed_wins,
        help="Subdomain of a live account.",
    ),
    Option(
        "--base-url",
        group=ACCOUNT,
        metavar="URL",
        callback=_typed_wins,
        help="Another server, such as the sandbox.",
    ),
    Option(
        "--api-version",
        group=ACCOUNT,
        type=click.Choice(["v1", "v2"]),
        default="v2",
        show_default=True,
        help="v1 is XML, v2 is JSON; live accounts answer v2.",
    ),
    Option(
        "--token-file",
        group=ACCOUNT,
        type=_FILE,
        metavar="FILE",
        help=f"File with the API token; else it is read from {TOKEN_VARIABLE}.",
    ),
    Option(
        "--timeout",
        group=ACCOUNT,
        type=Seconds(),
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="Seconds within which each page must arrive, retries included.",
    ),
    Option(
        "--max-wait",
        group=ACCOUNT,
        type=Seconds(zero=True),
        default=3600.0,
        show_default=True,
        metavar="SECONDS",
        help="Seconds that a page may wait for the server's request limit to reset.",
    ),
    Option(
        "--workers",
        group=ACCOUNT,
        type=click.IntRange(1, 8),
        default=6,
        show_default=True,
        metavar="1-8",
        help="Pages to fetch at the same time.",
    ),
    Option(
        "--resume",
        group=ACCOUNT,
        is_flag=True,
        help="Take up a long load that failed within the last day.",
    ),
)
"""Which account, and how to reach it."""

SENDING = (
    Option(
        "--email",
        group=SENT,
        multiple=True,
        metavar="ADDRESS",
        help="Mail a summary, with the charts and report.html; may be given several times.",
    ),
    Option(
        "--slack",
        group=SENT,
        is_flag=True,
        help=f"Post a summary to Slack, to the webhook in {WEBHOOK_VARIABLE} or its file.",
    ),
    Option(
        "--smtp-host",
        group=SENT,
        needs="email",
        metavar="NAME",
        envvar="CAPSULE_SMTP_HOST",
        show_envvar=True,
        help="The mail server.",
    ),
    Option(
        "--smtp-port",
        group=SENT,
        needs="email",
        type=click.IntRange(1, 65_535),
        metavar="PORT",
        envvar="CAPSULE_SMTP_PORT",
        show_envvar=True,
        help="Its port; default 587, with tls 465.",
    ),
    Option(
        "--smtp-security",
        group=SENT,
        needs="email",
        type=click.Choice(["starttls", "tls", "none"]),
        default="starttls",
        show_default=True,
        envvar="CAPSULE_SMTP_SECURITY",
        show_envvar=True,
        help="How the connection is secured; none only on this machine itself.",
    ),
    Option(
        "--smtp-from",
        group=SENT,
        needs="email",
        metavar="ADDRESS",
        envvar="CAPSULE_SMTP_FROM",
        show_envvar=True,
        help="The address that the mail comes from.",
    ),
    Option(
        "--smtp-user",
        group=SENT,
        needs="email",
        metavar="NAME",
        envvar="CAPSULE_SMTP_USER",
        show_envvar=True,
        help="Who logs in to the mail server; default nobody.",
    ),
    Option(
        "--smtp-password-file",
        group=SENT,
        needs="email",
        type=_FILE,
        metavar="FILE",
        help=f"File with the password; else it is read from {PASSWORD_VARIABLE}.",
    ),
    Option(
        "--slack-webhook-file",
        group=SENT,
        needs="slack",
        type=_FILE,
        metavar="FILE",
        help=f"File with the webhook's address; else it is read from {WEBHOOK_VARIABLE}.",
    ),
)
"""Who is sent the report, and with what."""

FILTERS = (
    *(
        Option(name, group=DEALS, multiple=True, metavar="NAME", help=f"Only deals {which}.")
        for name, which in (
            ("--milestone", "at this milestone; of several given of one option, any will do"),
            ("--tag", "with this tag"),
            ("--owner", "of this owner (user name)"),
            ("--pipeline", "of this pipeline of Capsule's"),
            ("--team", "of this team"),
        )
    ),
    Option(
        "--status",
        group=DEALS,
        multiple=True,
        type=click.Choice(["open", "won", "lost"]),
        help="Only deals that are open, won or lost.",
    ),
    Option(
        "--field",
        group=DEALS,
        multiple=True,
        metavar="NAME=VALUE",
        callback=_name_and_value,
        help='Only deals with this value of a custom field, which is "TAG: NAME" where several have'
        " that name; of several values of one field, any will do.",
    ),
)
"""Which of its deals."""

_VERBOSE = Option("--verbose", portfolio=True, is_flag=True, help="Say more about what went wrong.")

REPORT_OPTIONS = (
    *ACCOUNT_OPTIONS,
    Option(
        "--portfolio",
        group=MANY,
        portfolio=True,
        metavar="PATH",
        callback=_typed_wins,
        help="Report many accounts instead: the Parquet export of capsule-snapshot, a folder or"
        " an address such as s3://bucket/export.",
    ),
    Option(
        "--scheduler",
        group=MANY,
        needs="portfolio",
        portfolio=True,
        metavar="ADDRESS",
        help="Read the portfolio on this Dask cluster, as tcp://host:8786; default DuckDB here.",
    ),
    Option(
        "--unreadable",
        group=MANY,
        needs="portfolio",
        portfolio=True,
        type=click.Choice(["error", "skip"]),
        default="error",
        show_default=True,
        help="An account of the portfolio that cannot be read: stop, or leave it out and list it.",
    ),
    Option(
        "--no-ranges",
        group=MANY,
        needs="portfolio",
        portfolio=True,
        is_flag=True,
        help="Leave p10, p50 and p90 out of the portfolio's forecast: most of the time and"
        " memory of a large one.",
    ),
    Option(
        "--verify",
        group=ACCOUNT,
        is_flag=True,
        help="Compare the open deals with the totals that Capsule itself adds up (API v2).",
    ),
    *FILTERS,
    Option(
        "--as-of",
        group=DEALS,
        portfolio=True,
        type=Day(),
        help="Day from which to look; default today (UTC), or the day of the sample account or of a"
        " portfolio's newest snapshot.",
    ),
    Option(
        "--overdue",
        group=SUMS,
        portfolio=True,
        type=click.Choice(["keep", "roll", "drop"]),
        default="keep",
        show_default=True,
        help="Open deals whose close date has passed: keep them in their month, move them to this "
        "month, or leave them out.",
    ),
    Option(
        "--by",
        group=SUMS,
        portfolio=True,
        type=_Group(["owner", "milestone", "pipeline", "team", "tag", "party", f"{FIELD}NAME"]),
        multiple=True,
        help="Group the tables by this too, or by a custom field; may be given several times.",
    ),
    Option(
        "--period",
        group=SUMS,
        portfolio=True,
        type=click.Choice(["month", "quarter", "year"]),
        default="month",
        show_default=True,
        help="Sum by month, quarter or year.",
    ),
    Option(
        "--fiscal-year-start",
        group=SUMS,
        portfolio=True,
        type=click.IntRange(1, 12),
        default=1,
        show_default=True,
        metavar="MONTH",
        help="First month of the fiscal year, for quarters and years.",
    ),
    Option(
        "--home-currency",
        group=SUMS,
        portfolio=True,
        metavar="CODE",
        help="Convert every amount to this currency.",
    ),
    Option(
        "--rates",
        group=SUMS,
        needs="home_currency",
        portfolio=True,
        type=_FILE,
        metavar="FILE",
        help="Exchange rates of your own (date,currency,rate); default the ECB's reference rates.",
    ),
    Option(
        "--missing-rate",
        group=SUMS,
        needs="home_currency",
        portfolio=True,
        type=click.Choice(["error", "flag"]),
        default="error",
        show_default=True,
        help="A deal without an exchange rate: stop, or keep its currency and flag it.",
    ),
    Option(
        "--probability",
        group=SUMS,
        type=click.Choice(["stated", "calibrated"]),
        default="stated",
        show_default=True,
        help="Capsule's probabilities, or these corrected by what earlier deals became.",
    ),
    _share(
        "--correlation",
        0.0,
        "How strongly deals rise and fall together in the ranges.",
        portfolio=True,
    ),
    _share("--commit", 0.8, "Least probability of a deal in the category commit."),
    _share("--best-case", 0.5, "Least probability of a deal in the category best case."),
    Option(
        "--target",
        group=CHANGES,
        portfolio=True,
        type=float,
        metavar="AMOUNT",
        help="Add the chance that each row reaches this amount.",
    ),
    Option(
        "--targets",
        group=CHANGES,
        type=_TARGETS,
        metavar="FILE|capsule",
        help="Targets: a file (period,currency,owner,pipeline,measure,target), or the account's "
        "goals.",
    ),
    Option(
        "--changes-since",
        group=CHANGES,
        portfolio=True,
        type=Day(),
        help="Explain how the pipeline of that day became today's, from the snapshot store.",
    ),
    Option(
        "--store",
        group=CHANGES,
        type=_NEW_FILE,
        metavar="FILE",
        help="The snapshot store; default in the user's data folder. Where it knows the account,"
        " the projection learns from its snapshots, and the last one is compared with.",
    ),
    Option(
        "--snapshot",
        group=CHANGES,
        is_flag=True,
        help="Record what is loaded in the store, too; of an account that is there, load what"
        " changed.",
    ),
    _full_every(CHANGES, needs="snapshot"),
    Option(
        "--no-projection",
        group=WRITTEN,
        portfolio=True,
        is_flag=True,
        help="Leave out what will probably be won, and the files that show it; of a portfolio it"
        " takes a second or two an account.",
    ),
    Option(
        "--format",
        "formats",
        group=WRITTEN,
        portfolio=True,
        default="png",
        show_default=True,
        metavar="png,svg,pdf",
        callback=_formats,
        help="Formats of the charts; none writes no charts.",
    ),
    Option(
        "--html",
        group=WRITTEN,
        portfolio=True,
        is_flag=True,
        help="Write report.html too: everything in one file.",
    ),
    Option(
        "--xlsx",
        group=WRITTEN,
        portfolio=True,
        is_flag=True,
        help="Write report.xlsx too: the tables as a workbook.",
    ),
    *SENDING,
    Option(
        "--out",
        group=WHERE,
        portfolio=True,
        type=_FOLDER,
        default=Path("report"),
        show_default=True,
        metavar="DIR",
        help="Folder for the report; created if needed.",
    ),
    _VERBOSE,
)
"""Options of ``capsule-report``; those for its configuration are in `_config`."""

SNAPSHOT_OPTIONS = (
    *ACCOUNT_OPTIONS,
    Option(
        "--accounts",
        group=MANY,
        type=_FILE,
        metavar="FILE",
        callback=_typed_wins,
        help="Record all accounts of a TOML file, several at once; see below.",
    ),
    Option("--full", group=WRITTEN, is_flag=True, help="Load everything, not only what changed."),
    _full_every(WRITTEN),
    Option(
        "--store",
        "store_path",
        group=WHERE,
        type=_NEW_FILE,
        metavar="FILE",
        help="The snapshot store; default history.duckdb in the user's data folder, but not for"
        " --sample, which would mix an invented company into it.",
    ),
    Option(
        "--export",
        group=WHERE,
        type=_FOLDER,
        metavar="DIR",
        help="Also write every day of the store as Parquet, by account and day.",
    ),
    _VERBOSE,
)
"""Options of ``capsule-snapshot``."""

_ASKED = {
    *("as_of", "overdue", "fiscal_year_start", "home_currency", "rates", "missing_rate"),
    *("probability", "targets", "store"),
}

MCP_OPTIONS = (
    *ACCOUNT_OPTIONS,
    *(option for option in REPORT_OPTIONS if option.name in _ASKED),
    Option(
        "--from-store",
        group=ACCOUNT,
        is_flag=True,
        help="Answer from the newest snapshot in the store, without network or token; --account"
        " says of which account, if the store has several.",
    ),
    Option(
        "--max-age",
        group=ACCOUNT,
        type=click.IntRange(min=1),
        default=60,
        show_default=True,
        metavar="MINUTES",
        help="Load the account again for a question if the last time was so long ago.",
    ),
    _VERBOSE,
)
"""Options of ``capsule-mcp``: the account's, some of the report's, and its own."""
