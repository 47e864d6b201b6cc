"""``capsule-mcp``: the account's figures as tools of an assistant."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from capsule_analytics import __version__

from ._args import ReportArgs
from ._config import CONFIG
from ._options import GOALS, MCP_OPTIONS, REPORT_OPTIONS, Command, is_typed
from ._run import INTERRUPTED, TERMINATED, finish, run

if TYPE_CHECKING:
    from datetime import date

    from capsule_analytics.report import Figures
    from capsule_analytics.schema import Pipeline

_EXAMPLE = """\b
Examples, as an assistant starts it:
  capsule-mcp --sample
  capsule-mcp --account acme --token-file /home/me/.capsule-token
  capsule-mcp --account acme --from-store
"""


@dataclass(frozen=True, kw_only=True)
class McpArgs:
    """What was asked of ``capsule-mcp``.

    Attributes
    ----------
    report
        As for a report, from whose figures the questions are answered.
    from_store
        Answer from the newest snapshot instead of the live account.
    max_age
        Minutes after which the account is loaded again.
    """

    report: ReportArgs
    from_store: bool
    max_age: int


@click.command(
    cls=Command,
    params=[CONFIG, *MCP_OPTIONS],
    epilog=_EXAMPLE,
    context_settings={"max_content_width": 100},
)
@click.version_option(__version__, prog_name="capsule-mcp")
@click.pass_context
def mcp(context: click.Context, /, **chosen: Any) -> None:  # noqa: ANN401 - see `McpArgs`
    """Let an assistant ask for the figures of a Capsule CRM account, read only.

    Speaks the Model Context Protocol on standard input and output: a desktop assistant starts it
    and ends it. Its tools are projection, forecast, changes, deals_needing_attention, deal,
    win_rates and data_quality. The account is loaded for the first question, and the figures are
    those of capsule-report with the same options.
    """
    args = _args(chosen)
    _check(context, args)
    from capsule_analytics.mcp import Analyst, serve  # noqa: PLC0415 - pandas, not for --help

    source = CurrentFigures(args)
    source.check()
    # At once, and not when the load is over that a question waits for: there is nothing to undo.
    signal.signal(signal.SIGINT, lambda *_: finish(INTERRUPTED))
    signal.signal(signal.SIGTERM, lambda *_: finish(TERMINATED))
    serve(Analyst(source), verbose=args.report.verbose)


def _args(chosen: dict[str, Any]) -> McpArgs:
    """Fill in what is not asked here as a report has it if it is not typed."""
    own = {name: chosen.pop(name) for name in ("from_store", "max_age")}
    rest: list[click.Parameter] = [option for option in REPORT_OPTIONS if option.name not in chosen]
    defaults = click.Command("capsule-report", params=rest).make_context("capsule-report", [])
    return McpArgs(report=ReportArgs(**(defaults.params | chosen)), **own)


def _check(context: click.Context, args: McpArgs) -> None:
    """Refuse options that contradict each other."""
    asked = args.report
    if args.from_store:
        if asked.sample:
            raise click.UsageError("--from-store is of no use with --sample")
        if asked.as_of is not None:
            raise click.UsageError("--from-store looks from the day of the snapshot, not --as-of")
    else:
        asked.one_account()
    if asked.targets == GOALS and (args.from_store or not asked.live):
        raise click.UsageError(f"--targets {GOALS} asks a live account for its goals")
    if asked.sample and is_typed(context, "store"):
        raise click.UsageError("--store is of no use with --sample, which has its own history")
    for name in ("rates", "missing_rate"):
        if is_typed(context, name) and asked.home_currency is None:
            typed = "--" + name.replace("_", "-")
            raise click.UsageError(f"{typed} is of no use without --home-currency")


class CurrentFigures:
    """Figures of the account that is asked about: loaded for a question, again when they are old.

    Parameters
    ----------
    args
        What was asked of the command.
    """

    def __init__(self, args: McpArgs) -> None:
        self._args = args
        self._pipeline: Pipeline | None = None
        self._figures: Figures | None = None
        self._loaded = 0.0
        if args.report.sample:
            self.words = "the sample account, whose company is invented"
        elif args.from_store:
            self.words = "the newest snapshot in the store"
        else:
            self.words = "the live account"

    def check(self) -> None:
        """Find out before the first question whether there is a token, or a snapshot."""
        if self._args.from_store:
            self._newest()
        elif self._args.report.live:
            with self._args.report.connect():
                pass

    def figures(self) -> Figures:
        """Return the figures of the account as it stands.

        Raises
        ------
        CapsuleError
            If it cannot be loaded; what was loaded before is not shown in its place.
        """
        from . import _figures, _past  # noqa: PLC0415 - pandas, not for --help

        age = monotonic() - self._loaded
        old = not self._args.report.sample and age > self._args.max_age * 60
        if self._figures is None or old:
            self._figures = None
            report = self._args.report
            if self._args.from_store:
                pipeline = self._newest()
                past = _past.past_of(pipeline, report)
            else:
                pipeline, past = _figures.load(report, lambda: None)
            self._pipeline, self._loaded = pipeline, monotonic()
            self._figures = _figures.figures(pipeline, past, report)
        return self._figures

    def since(self, day: date) -> Figures:
        """Return them with the changes since a day, as its snapshot has them.

        Raises
        ------
        HistoryError
            If there is no snapshot of that day or before it.
        """
        from . import _figures, _past  # noqa: PLC0415 - pandas, not for --help

        if self._pipeline is None:
            self.figures()
        assert self._pipeline is not None  # noqa: S101 - loaded with the figures
        report = replace(self._args.report, changes_since=day)
        return _figures.figures(self._pipeline, _past.past_of(self._pipeline, report), report)

    def _newest(self) -> Pipeline:
        """Read the newest snapshot of the account from the store."""
        from capsule_analytics import history  # noqa: PLC0415 - pandas, not for --help
        from capsule_analytics.errors import HistoryError  # noqa: PLC0415

        report = self._args.report
        named = report.account or urlsplit(report.base_url or "").netloc
        with history.open_store(report.store, read_only=True) as store:
            known = store.accounts()
            if not named and len(known) != 1:
                raise HistoryError(
                    f"{store.path} has {len(known)} accounts; say which with --account"
                )
            name = named or known[0]
            return store.as_of(store.snapshots(name)["taken_at"].max(), name)


def main() -> None:
    """Run ``capsule-mcp``."""
    finish(run(mcp))
