"""``capsule-report``: an account's forecast as PNG and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import __version__
from ._cli_account import account_options, filter_options, load_account
from ._cli_run import finish, run

_EXAMPLE = """\b
Examples:
  capsule-report --sample --out report
  CAPSULE_TOKEN=... capsule-report --account acme --out report
"""


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


def main() -> None:
    """Run ``capsule-report``."""
    finish(run(report))
