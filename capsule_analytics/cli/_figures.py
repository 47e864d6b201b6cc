"""From what was asked of ``capsule-report`` to the pipeline and the figures that it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capsule_analytics import calibration, fx, history, targets
from capsule_analytics.errors import HistoryError
from capsule_analytics.load import load_pipeline, select, verify
from capsule_analytics.report import Options, figures_of, write_portfolio_report
from capsule_analytics.sample import load_sample

from . import _terminal
from ._options import GOALS
from ._run import say

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    import pandas as pd

    from capsule_analytics.report import Figures, Written
    from capsule_analytics.schema import Pipeline

    from ._report import ReportArgs


def load(args: ReportArgs) -> Pipeline:
    """Load the deals that are asked for, with a progress bar on a terminal."""
    if args.sample:
        return select(load_sample(args.as_of), **_filters(args))
    with args.connect() as client, _terminal.loading(client.account) as progress:
        tags = client.api_version == "v2" and ("tag" in args.by or args.tag)
        return load_pipeline(
            client,
            **_filters(args),
            embed=("tags",) if tags else (),
            as_of=args.as_of,
            workers=args.workers,
            progress=progress,
            resume=args.resume,
        )


def _filters(args: ReportArgs) -> dict[str, Any]:
    """Return which deals are asked for, as `load_pipeline` and `select` take it."""
    return {
        "milestone": args.milestone,
        "tag": args.tag,
        "owner": args.owner,
        "pipeline": args.pipeline or None,
        "team": args.team or None,
        "status": args.status or None,
    }


def verified(pipeline: Pipeline, args: ReportArgs) -> pd.DataFrame:
    """Compare with the totals that the account itself adds up."""
    with args.connect() as client:
        return verify(client, pipeline)


def _targets(args: ReportArgs) -> pd.DataFrame | None:
    """Read the targets of a file, or the account's goals."""
    if args.targets == GOALS:
        with args.connect() as client:
            return targets.from_goals(client, fiscal_year_start=args.fiscal_year_start)
    return None if args.targets is None else targets.read_targets(args.targets)


def figures(pipeline: Pipeline, args: ReportArgs) -> Figures:
    """Make of a pipeline the figures that are asked for."""
    if args.probability == "calibrated":
        pipeline = _calibrated(pipeline, args)
    days = [pipeline]
    if args.changes_since is not None:
        days.append(_earlier(pipeline, args.changes_since, args))
    pipeline, *before = _in_home_currency(days, args)
    goals = _targets(args)
    if goals is not None:
        for sentence in [*goals.attrs.get("left_out", ()), *targets.unmatched(pipeline, goals)]:
            say(f"Warning: {sentence}.", error=True)
    options = Options(
        by=args.by,
        period=args.period,
        fiscal_year_start=args.fiscal_year_start,
        overdue=args.overdue,
        probability="calibrated" if "calibrated" in pipeline.opportunities.columns else None,
        correlation=args.correlation,
        target=args.target,
        formats=args.formats,
        html=args.html,
        xlsx=args.xlsx,
        targets=goals,
        changes=history.changes(before[0], pipeline) if before else None,
        changed_deals=history.changed_deals(before[0], pipeline) if before else None,
        thresholds={"commit": args.commit, "best_case": args.best_case},
        selection=args.selection,
        inputs=args.inputs,
    )
    return figures_of(pipeline, options)


def write_portfolio(args: ReportArgs, placed: Callable[[], None]) -> Written:
    """Write the tables of many accounts.

    With an as-of day each account counts with its newest snapshot at or before it.
    """
    home, rates = args.home_currency, args.rates
    return write_portfolio_report(
        str(args.portfolio),
        args.out,
        day=args.as_of,
        changes_since=args.changes_since,
        by=args.by,
        on_error="skip" if args.unreadable == "skip" else "raise",
        inputs=() if rates is None else (rates,),
        placed=placed,
        as_of=args.as_of,
        period=args.period,
        fiscal_year_start=args.fiscal_year_start,
        overdue=args.overdue,
        home_currency=home,
        rates=None if rates is None or home is None else fx.read_rates(rates, home),
        missing_rate="flag" if args.missing_rate == "flag" else "error",
        scheduler=args.scheduler,
        ranges=not args.no_ranges,
        correlation=args.correlation,
        target=args.target,
    )


def _in_home_currency(pipelines: list[Pipeline], args: ReportArgs) -> list[Pipeline]:
    """Convert pipelines, where that is asked for, at the ECB's rates or at those of a file.

    Open deals of all of them take the rates of the first one's day, so that a difference between
    two days is a change of the deals and not of the rates.
    """
    home = args.home_currency
    if home is None:
        return pipelines
    rates = fx.ecb_rates() if args.rates is None else fx.read_rates(args.rates, home)
    missing: fx.Missing = "flag" if args.missing_rate == "flag" else "error"
    day = pipelines[0].as_of
    return [fx.convert(pipeline, home, rates, as_of=day, missing=missing) for pipeline in pipelines]


def _calibrated(pipeline: Pipeline, args: ReportArgs) -> Pipeline:
    """Add the corrected probabilities of open deals, learnt from what earlier deals became.

    The last snapshot of each month before the pipeline's day is learnt from. Where there is too
    little to learn from, that is said, and nothing is added.
    """
    days = _snapshots(pipeline, args)
    model = calibration.fit(calibration.outcomes(days, pipeline))
    if model.deals < calibration.SMALL_SAMPLE:
        say(
            f"Probabilities stay as stated: {model.deals} deals have ended since the first"
            f" snapshot, and {calibration.SMALL_SAMPLE} are needed to correct them.",
            error=True,
        )
        return pipeline
    return calibration.calibrate(pipeline, model)


def _earlier(pipeline: Pipeline, since: date, args: ReportArgs) -> Pipeline:
    """Return the pipeline as it stood on an earlier day."""
    if since >= pipeline.as_of:
        raise HistoryError(f"changes since {since}: that is not before {pipeline.as_of}")
    if args.sample:
        days = [day for day in history.sample_history() if day.as_of <= since]
        if not days:
            raise HistoryError("the sample account has no snapshot so early")
        return days[-1]
    with history.open_store(args.store, read_only=True) as opened:
        return opened.as_of(since, pipeline.account)


def _snapshots(pipeline: Pipeline, args: ReportArgs) -> list[Pipeline]:
    if args.sample:
        days = history.sample_history()
    else:
        with history.open_store(args.store, read_only=True) as opened:
            taken = opened.snapshots(pipeline.account)["taken_at"]
            last_of_month = taken.groupby(taken.dt.strftime("%Y-%m")).max()
            days = [opened.as_of(moment, pipeline.account) for moment in last_of_month]
    return [day for day in days if day.loaded_at < pipeline.loaded_at]
