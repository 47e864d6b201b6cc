"""From the options of ``capsule-report`` to the pipeline and the figures that it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capsule_analytics import calibration, fx, history
from capsule_analytics.errors import HistoryError

from ._run import say

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from capsule_analytics.schema import Pipeline


def in_home_currency(
    pipelines: list[Pipeline], home: str, rates_file: Path | None, *, flag: bool
) -> list[Pipeline]:
    """Convert pipelines at the ECB's rates, or at those of a file.

    Open deals of all of them take the rates of the first one's day, so that a difference between
    two days is a change of the deals and not of the rates.
    """
    rates = fx.ecb_rates() if rates_file is None else fx.read_rates(rates_file, home)
    day = pipelines[0].as_of
    return [
        fx.convert(pipeline, home, rates, as_of=day, missing="flag" if flag else "error")
        for pipeline in pipelines
    ]


def calibrated(pipeline: Pipeline, store: Path | None, *, sample: bool) -> Pipeline:
    """Add the corrected probabilities of open deals, learnt from what earlier deals became.

    The last snapshot of each month before the pipeline's day is learnt from. Where there is too
    little to learn from, that is said, and nothing is added.
    """
    days = _snapshots(pipeline, store, sample=sample)
    model = calibration.fit(calibration.outcomes(days, pipeline))
    if model.deals < calibration.SMALL_SAMPLE:
        say(
            f"Probabilities stay as stated: {model.deals} deals have ended since the first"
            f" snapshot, and {calibration.SMALL_SAMPLE} are needed to correct them.",
            error=True,
        )
        return pipeline
    return calibration.calibrate(pipeline, model)


def earlier(pipeline: Pipeline, since: date, store: Path | None, *, sample: bool) -> Pipeline:
    """Return the pipeline as it stood on an earlier day."""
    if since >= pipeline.as_of:
        raise HistoryError(f"changes since {since}: that is not before {pipeline.as_of}")
    if sample:
        days = [day for day in history.sample_history() if day.as_of <= since]
        if not days:
            raise HistoryError("the sample account has no snapshot so early")
        return days[-1]
    with history.open_store(store, read_only=True) as opened:
        return opened.as_of(since, pipeline.account)


def _snapshots(pipeline: Pipeline, store: Path | None, *, sample: bool) -> list[Pipeline]:
    if sample:
        days = history.sample_history()
    else:
        with history.open_store(store, read_only=True) as opened:
            taken = opened.snapshots(pipeline.account)["taken_at"]
            last_of_month = taken.groupby(taken.dt.strftime("%Y-%m")).max()
            days = [opened.as_of(moment, pipeline.account) for moment in last_of_month]
    return [day for day in days if day.loaded_at < pipeline.loaded_at]
