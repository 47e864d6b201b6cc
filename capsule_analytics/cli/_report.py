"""``capsule-report``: an account's forecast as charts and tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capsule_analytics import __version__

from ._account import account_options, filter_options, load_account
from ._checks import check_options
from ._config import config_option
from ._portfolio import portfolio_options, report_portfolio
from ._run import Day, finish, run, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from capsule_analytics.report import Options
    from capsule_analytics.schema import Pipeline

_EXAMPLE = """\b
Examples:
  capsule-report --sample --out report
  CAPSULE_TOKEN=... capsule-report --account acme --out report
  capsule-report --sample --by owner --overdue roll --html --out report
"""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _share(name: str, default: float, explained: str) -> Callable[[Any], Any]:
    """Make an option of a number from 0 to 1."""
    return click.option(
        name,
        type=click.FloatRange(0, 1),
        default=default,
        show_default=True,
        metavar="0-1",
        help=explained,
    )


def _formats(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """Read the comma-separated formats."""
    formats = tuple(dict.fromkeys(part.strip().lower() for part in value.split(",")))
    if not set(formats) <= {"png", "svg", "pdf"}:
        raise click.BadParameter("name png, svg or pdf, separated by commas", ctx, param)
    return formats


@click.command(epilog=_EXAMPLE, context_settings={"max_content_width": 100})
@account_options
@filter_options
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
@click.option(
    "--by",
    type=click.Choice(["owner", "milestone", "pipeline", "team", "tag", "party"]),
    multiple=True,
    help="Group the tables by this too; may be given several times.",
)
@click.option(
    "--period",
    type=click.Choice(["month", "quarter", "year"]),
    default="month",
    show_default=True,
    help="Sum by month, quarter or year.",
)
@click.option(
    "--fiscal-year-start",
    type=click.IntRange(1, 12),
    default=1,
    show_default=True,
    metavar="MONTH",
    help="First month of the fiscal year, for quarters and years.",
)
@click.option("--home-currency", metavar="CODE", help="Convert every amount to this currency.")
@click.option(
    "--rates",
    type=_FILE,
    metavar="FILE",
    help="Exchange rates of your own (date,currency,rate); default the ECB's reference rates.",
)
@click.option(
    "--missing-rate",
    type=click.Choice(["error", "flag"]),
    default="error",
    show_default=True,
    help="A deal without an exchange rate: stop, or keep its currency and flag it.",
)
@_share("--correlation", 0.0, "How strongly deals rise and fall together in the ranges.")
@click.option(
    "--target",
    type=float,
    metavar="AMOUNT",
    help="Add the chance that each row reaches this amount.",
)
@click.option(
    "--targets", type=_FILE, metavar="FILE", help="Targets (period,currency,owner,target)."
)
@_share("--commit", 0.8, "Least probability of a deal in the category commit.")
@_share("--best-case", 0.5, "Least probability of a deal in the category best case.")
@click.option(
    "--probability",
    type=click.Choice(["stated", "calibrated"]),
    default="stated",
    show_default=True,
    help="Capsule's probabilities, or these corrected by what earlier deals became.",
)
@click.option(
    "--changes-since",
    type=Day(),
    help="Explain how the pipeline of that day became today's, from the snapshot store.",
)
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The snapshot store that capsule-snapshot writes; default in the user's data folder.",
)
@portfolio_options
@click.option(
    "--format",
    "formats",
    default="png",
    show_default=True,
    metavar="png,svg,pdf",
    callback=_formats,
    help="Formats of the charts.",
)
@click.option("--html", is_flag=True, help="Write report.html too: everything in one file.")
@click.option("--xlsx", is_flag=True, help="Write report.xlsx too: the tables as a workbook.")
@config_option("capsule_analytics.cli:report", "capsule_analytics.cli:snapshot", init=True)
@click.option("--verbose", is_flag=True, help="Say more about what went wrong.")
@click.version_option(__version__, prog_name="capsule-report")
def report(out: Path, **chosen: Any) -> None:  # noqa: ANN401 - the options, by name
    """Write the sales forecast of a Capsule CRM account as charts and CSV files.

    The folder gets forecast.png and revenue.png, forecast.csv, revenue.csv, scenarios.csv,
    opportunities.csv and data_quality.csv.
    """
    check_options()
    if chosen["portfolio"] is not None:
        report_portfolio(out, chosen)
        return
    from capsule_analytics import forecast  # noqa: PLC0415 - pandas takes a second that --help has not
    from capsule_analytics.report import write_report  # noqa: PLC0415

    from . import _terminal  # noqa: PLC0415 - pandas takes a second that --help has not

    pipeline = load_account(
        **{name: chosen[name] for name in _LOADING},
        embed=("tags",) if "tag" in chosen["by"] or chosen["tag"] else (),
    )
    pipeline, options = _figures(pipeline, **chosen)
    files = write_report(pipeline, out, options)
    _terminal.summary(pipeline, forecast.by_month(pipeline, **options.placing()), files)


_LOADING = (
    "sample", "account", "base_url", "api_version", "token_file", "timeout", "max_wait",
    "workers", "resume", "milestone", "tag", "owner", "as_of",
)  # fmt: skip
_FILTERS = ("milestone", "tag", "owner")
_INPUTS = ("targets", "rates", "token_file")


def _figures(pipeline: Pipeline, **chosen: Any) -> tuple[Pipeline, Options]:  # noqa: ANN401
    """Turn the options into the pipeline and the figures that are reported."""
    from capsule_analytics import history, targets  # noqa: PLC0415
    from capsule_analytics.report import Options  # noqa: PLC0415

    from . import _figures  # noqa: PLC0415

    where = {"store": chosen["store"], "sample": chosen["sample"]}
    changes = changed_deals = None
    if chosen["probability"] == "calibrated":
        pipeline = _figures.calibrated(pipeline, **where)
    days = [pipeline]
    if chosen["changes_since"] is not None:
        if any(chosen[name] for name in _FILTERS):
            raise click.UsageError("--changes-since compares whole accounts, not a selection")
        days.append(_figures.earlier(pipeline, chosen["changes_since"], **where))
    if chosen["home_currency"] is not None:
        days = _figures.in_home_currency(
            days, chosen["home_currency"], chosen["rates"], flag=chosen["missing_rate"] == "flag"
        )
    pipeline, *before = days
    if before:
        changes = history.changes(before[0], pipeline)
        changed_deals = history.changed_deals(before[0], pipeline)
    goals = None
    if chosen["targets"] is not None:
        goals = targets.read_targets(chosen["targets"])
        for sentence in targets.unmatched(pipeline, goals):
            say(f"Warning: {sentence}.", error=True)
    same = (
        "by", "period", "fiscal_year_start", "overdue", "correlation", "target", "formats",
        "html", "xlsx",
    )  # fmt: skip
    return pipeline, Options(
        **{name: chosen[name] for name in same},
        probability="calibrated" if "calibrated" in pipeline.opportunities.columns else None,
        changes=changes,
        changed_deals=changed_deals,
        targets=goals,
        thresholds={"commit": chosen["commit"], "best_case": chosen["best_case"]},
        selection=", ".join(f"{name} {chosen[name]}" for name in _FILTERS if chosen[name]),
        inputs=tuple(chosen[name] for name in _INPUTS if chosen[name] is not None),
    )


def main() -> None:
    """Run ``capsule-report``."""
    finish(run(report))
