"""``capsule-report``: an account's forecast as charts and tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from capsule_analytics import __version__

from ._account import AccountArgs, NothingToLoadError
from ._checks import check_options
from ._config import CONFIG, INIT
from ._options import REPORT_OPTIONS, Command
from ._run import Kept, finish, run, say

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from capsule_analytics._deals import Overdue, Period
    from capsule_analytics.deliver import Security

_EXAMPLE = """\b
Examples:
  capsule-report --sample
  CAPSULE_TOKEN=... capsule-report --account acme --html --snapshot
  capsule-report --sample --by owner --overdue roll --html --out report
"""


@dataclass(frozen=True, kw_only=True)
class ReportArgs(AccountArgs):
    """What was asked of ``capsule-report``: a field for each of `REPORT_OPTIONS`."""

    portfolio: str | None
    scheduler: str | None
    unreadable: str
    no_ranges: bool
    milestone: str | None
    tag: str | None
    owner: str | None
    pipeline: tuple[str, ...]
    team: tuple[str, ...]
    status: tuple[str, ...]
    verify: bool
    as_of: date | None
    overdue: Overdue
    by: tuple[str, ...]
    period: Period
    fiscal_year_start: int
    home_currency: str | None
    rates: Path | None
    missing_rate: str
    probability: str
    correlation: float
    commit: float
    best_case: float
    target: float | None
    targets: Path | str | None
    changes_since: date | None
    store: Path | None
    snapshot: bool
    full_every: int
    no_projection: bool
    formats: tuple[str, ...]
    html: bool
    xlsx: bool
    email: tuple[str, ...]
    slack: bool
    smtp_host: str | None
    smtp_port: int | None
    smtp_security: Security
    smtp_from: str | None
    smtp_user: str | None
    smtp_password_file: Path | None
    slack_webhook_file: Path | None
    out: Path

    @property
    def selection(self) -> str:
        """The selection of deals in words; empty where all of the account's are loaded."""
        chosen = {
            "milestone": self.milestone,
            "tag": self.tag,
            "owner": self.owner,
            "pipeline": " or ".join(self.pipeline),
            "team": " or ".join(self.team),
            "status": " or ".join(self.status),
        }
        return ", ".join(f"{name} {value}" for name, value in chosen.items() if value)

    @property
    def selects_won(self) -> bool:
        """Whether won deals are among the selected, as the projection needs them."""
        return self.milestone is None and (not self.status or "won" in self.status)

    @property
    def records(self) -> bool:
        """Whether the account is recorded; a configuration's ``snapshot`` is for live ones."""
        return self.snapshot and self.live and self.as_of is None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that are read, and that no file of the report may replace."""
        secrets = (self.token_file, self.smtp_password_file, self.slack_webhook_file)
        files = (self.targets, self.rates, *secrets)
        return tuple(file for file in files if file is not None and not isinstance(file, str))


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
    from capsule_analytics.report import mend, write_figures  # noqa: PLC0415 - not for --help

    from . import _deliver, _figures, _terminal  # noqa: PLC0415 - pandas takes a second that --help has not

    delivery = None if args.portfolio is not None else _deliver.delivery(context, args)
    if delivery is not None and delivery.recipients:
        args = replace(args, html=True)  # the page goes along

    def placed() -> None:
        kept.words = f"the new report in {args.out} is whole"

    if mend(args.out):
        kept.words = f"{args.out} has the earlier report, which was finished"
        say(f"The report in {args.out} had been cut off; it was finished first.", error=True)
    if args.portfolio is not None:
        _terminal.portfolio_summary(_figures.write_portfolio(args, placed))
        return

    def recorded() -> None:
        kept.words = "the snapshot is recorded, and no report was written"

    pipeline, past = _figures.load(args, recorded)
    if args.verify:
        _terminal.verified(_figures.verified(pipeline, args))
    figures = _figures.figures(pipeline, past, args)
    files = write_figures(figures, args.out, placed=placed)
    _terminal.summary(figures, files)
    if delivery is not None:
        delivery.send(figures, files)


def main() -> None:
    """Run ``capsule-report``."""
    finish(run(report))
