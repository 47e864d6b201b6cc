"""From what was asked of ``capsule-report`` to the pipeline and the figures that it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capsule_analytics import calibration, fx, history, targets
from capsule_analytics._words import counted
from capsule_analytics.load import load_pipeline, select, verify
from capsule_analytics.report import Options, figures_of, group_figures
from capsule_analytics.sample import load_sample

from . import _recording, _terminal
from ._options import FIELD, GOALS
from ._past import Past, past_of
from ._run import say

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from capsule_analytics.report import Figures, GroupFigures
    from capsule_analytics.schema import Pipeline

    from ._args import ReportArgs


_MANY = 30
"""Of how many accounts it is said beforehand how long their projection takes."""
_SECONDS_EACH = 1.5


def load(args: ReportArgs, recorded: Callable[[], None]) -> tuple[Pipeline, Past]:
    """Load the deals that are asked for, and what is known of earlier days.

    Parameters
    ----------
    args
        What was asked.
    recorded
        Called when the account has been recorded in the store, where that is asked for.
    """
    pipeline = _recorded(args) if args.records else _loaded(args)
    if args.records:
        recorded()
    past = past_of(pipeline, args)
    if args.records:
        pipeline = select(pipeline, **_filters(args))
    return pipeline, past


def _loaded(args: ReportArgs) -> Pipeline:
    """Load the deals that are asked for, with a progress bar on a terminal."""
    if args.sample:
        return select(load_sample(args.as_of), **_filters(args))
    with args.connect() as client, _terminal.loading(client.account) as progress:
        client.check_account()
        v2 = client.api_version == "v2"
        shown = {
            "tags": "tag" in args.by or args.tag,
            "fields": args.field or any(by.startswith(FIELD) for by in args.by),
            "missingImportantFields": True,
        }
        return load_pipeline(
            client,
            **_filters(args),
            embed=[name for name, wanted in shown.items() if wanted and v2],
            as_of=args.as_of,
            workers=args.workers,
            progress=progress,
            resume=args.resume,
        )


def _recorded(args: ReportArgs) -> Pipeline:
    """Record the account as it is now, in one load, and take it from the store.

    What changed since the last snapshot is enough, where the server tells it and it adds up.
    """
    how = _recording.Loading(
        full=False, full_every=args.full_every, workers=args.workers, resume=args.resume
    )
    with (
        args.connect() as client,
        history.open_store(args.store) as store,
        _terminal.loading(client.account) as progress,
    ):
        client.check_account()
        name = _recording.record(store, client, how, progress=progress)
        return store.as_of(store.snapshots(name)["taken_at"].max(), name)


def _filters(args: ReportArgs) -> dict[str, Any]:
    """Return which deals are asked for, as `load_pipeline` and `select` take it."""
    return {
        "milestone": args.milestone or None,
        "tag": args.tag or None,
        "owner": args.owner or None,
        "pipeline": args.pipeline or None,
        "team": args.team or None,
        "status": args.status or None,
        "field": args.fields or None,
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


def figures(pipeline: Pipeline, past: Past, args: ReportArgs) -> Figures:
    """Make of a pipeline and its past the figures that are asked for."""
    if args.probability == "calibrated":
        pipeline = _calibrated(pipeline, past)
    if args.selection:
        # A snapshot is of a whole account, and a selection is not to be compared with it.
        past = Past()
    projected = not args.no_projection and args.selects_won
    if not args.no_projection and not projected:
        say("No projection: nothing is selected that was won, to learn from.", error=True)
    pipeline, *snapshots = _in_home_currency([pipeline, *past.snapshots], args)
    goals = _targets(args)
    if goals is not None:
        for sentence in [*goals.attrs.get("left_out", ()), *targets.unmatched(pipeline, goals)]:
            say(f"Warning: {sentence}.", error=True)
    pairs = zip(past.snapshots, snapshots, strict=True)
    earlier = next((converted for day, converted in pairs if day is past.before), None)
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
        changes=None if earlier is None else history.changes(earlier, pipeline),
        changed_deals=None if earlier is None else history.changed_deals(earlier, pipeline),
        projection=projected,
        snapshots=tuple(snapshots),
        before=earlier,
        web=f"https://{args.account}.capsulecrm.com" if args.account else "",
        thresholds={"commit": args.commit, "best_case": args.best_case},
        selection=args.selection,
        inputs=args.inputs,
    )
    return figures_of(pipeline, options)


def group(args: ReportArgs) -> GroupFigures:
    """Make of an export the figures of its accounts, projected unless that is not wanted.

    With an as-of day each account counts with its newest snapshot at or before it.
    """
    home, rates = args.home_currency, args.rates
    projecting = _terminal.Projecting()
    figures = group_figures(
        str(args.portfolio),
        day=args.as_of,
        changes_since=args.changes_since,
        by=args.by,
        on_error="skip" if args.unreadable == "skip" else "raise",
        formats=args.formats,
        html=args.html,
        xlsx=args.xlsx,
        inputs=() if rates is None else (rates,),
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
        projection=not args.no_projection,
        progress=projecting,
    )
    if args.no_projection:
        return figures
    count = len(figures.view.days)
    if count >= _MANY and args.scheduler is None:
        minutes = max(1, round(count * _SECONDS_EACH / 60))
        say(
            f"Projecting {counted(count, 'account')} takes some {counted(minutes, 'minute')};"
            " --no-projection leaves it out.",
            error=True,
        )
    with projecting:
        found = figures.projection
    if found is None:
        say("No projection: no account has the dates that it is learnt from.", error=True)
    return figures


def _in_home_currency(pipelines: list[Pipeline], args: ReportArgs) -> list[Pipeline]:
    """Convert pipelines, where that is asked for, at the ECB's rates or at those of a file.

    Open deals of all of them take the rates of the first one's day, so that a difference between
    two days is a change of the deals and not of the rates.
    """
    home = args.home_currency
    if home is None:
        return pipelines
    rates = fx.ecb_rates() if args.rates is None else fx.read_rates(args.rates, home)
    first, *others = pipelines
    missing: fx.Missing = "flag" if args.missing_rate == "flag" else "error"
    return [
        fx.convert(first, home, rates, as_of=first.as_of, missing=missing),
        # Deals that are gone since must not stop the report.
        *(fx.convert(one, home, rates, as_of=first.as_of, missing="flag") for one in others),
    ]


def _calibrated(pipeline: Pipeline, past: Past) -> Pipeline:
    """Add the corrected probabilities of open deals, learnt from what earlier deals became.

    The last snapshot of each month before the pipeline's day is learnt from. Where there is too
    little to learn from, that is said, and nothing is added.
    """
    model = calibration.fit(calibration.outcomes(past.snapshots, pipeline))
    if model.deals < calibration.SMALL_SAMPLE:
        say(
            f"Probabilities stay as stated: {model.deals} deals have ended since the first"
            f" snapshot, and {calibration.SMALL_SAMPLE} are needed to correct them.",
            error=True,
        )
        return pipeline
    return calibration.calibrate(pipeline, model)
