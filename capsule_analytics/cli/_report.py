"""``capsule-report``: an account's forecast as charts and tables."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from capsule_analytics import __version__

from ._account import NothingToLoadError
from ._args import ReportArgs
from ._checks import check_options
from ._config import CONFIG, INIT
from ._options import REPORT_OPTIONS, Command
from ._run import Kept, finish, run, say

if TYPE_CHECKING:
    from capsule_analytics._drawing import Drawing

_EXAMPLE = """\b
Examples:
  capsule-report --sample
  CAPSULE_TOKEN=... capsule-report --account acme --html --snapshot
  capsule-report --sample --by owner --overdue roll --html --out report
"""


@click.command(
    cls=Command,
    params=[CONFIG, INIT, *REPORT_OPTIONS],
    epilog=_EXAMPLE,
    context_settings={"max_content_width": 100},
)
@click.version_option(__version__, prog_name="capsule-report")
@click.pass_context
def report(context: click.Context, /, **chosen: Any) -> None:  # noqa: ANN401 - typed by `ReportArgs`
    """Write what a Capsule CRM account will probably win, and its forecast, as charts and tables.

    The folder gets projection.png, forecast.png and revenue.png, projection.csv,
    projected_deals.csv, track_record.csv, attention.csv (deals that need someone), forecast.csv,
    revenue.csv, scenarios.csv, opportunities.csv and data_quality.csv; with snapshots changes.png,
    changes.csv and changed_deals.csv.
    """
    args = ReportArgs(**chosen)
    if not (args.sample or args.live or args.portfolio):
        raise NothingToLoadError
    check_options(context, args)
    kept = context.ensure_object(Kept)
    if args.portfolio is None:
        args.one_account()
    from capsule_analytics._drawing import Drawing  # noqa: PLC0415 - not for --help

    # Before all that takes time, as it takes time itself.
    with Drawing(beside=kept.alone and bool(args.formats)) as drawing:
        _write(context, args, drawing)


def _write(context: click.Context, args: ReportArgs, drawing: Drawing) -> None:
    """Load what is asked for, write the report and send it."""
    from capsule_analytics.report import mend, write_figures  # noqa: PLC0415 - not for --help

    from . import _figures, _terminal  # noqa: PLC0415 - pandas takes a second that --help has not

    kept = context.ensure_object(Kept)
    if kept.alone:
        gc.freeze()
        gc.enable()
    delivery = None
    if args.portfolio is None and (args.email or args.slack):
        from . import _deliver  # noqa: PLC0415 - where it is sent

        delivery = _deliver.delivery(context, args)
        if delivery is not None and delivery.recipients:
            args = replace(args, html=True)  # the page goes along

    def placed() -> None:
        kept.words = f"the new report in {args.out} is whole"

    if mend(args.out):
        kept.words = f"{args.out} has the earlier report, which was finished"
        say(f"The report in {args.out} had been cut off; it was finished first.", error=True)
    if args.portfolio is not None:
        group = _figures.group(args)
        files = write_figures(group, args.out, placed=placed, drawing=drawing)
        _terminal.group_summary(group, files)
        return

    def recorded() -> None:
        kept.words = "the snapshot is recorded, and no report was written"

    pipeline, past = _figures.load(args, recorded)
    if args.verify:
        _terminal.verified(_figures.verified(pipeline, args))
    figures = _figures.figures(pipeline, past, args)
    files = write_figures(figures, args.out, placed=placed, drawing=drawing)
    _terminal.summary(figures, files)
    if delivery is not None:
        delivery.send(figures, files)


def main() -> None:
    """Run ``capsule-report``."""
    # What is imported stays: that it is looked through again and again takes a tenth of the time.
    gc.disable()
    finish(run(report, alone=True))
