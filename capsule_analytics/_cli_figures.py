"""From the options of ``capsule-report`` to the pipeline and the figures that it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import calibration, fx, history
from ._errors import HistoryError

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    import pandas as pd

    from .schema import Pipeline


def in_home_currency(
    pipeline: Pipeline, home: str, rates_file: Path | None, *, flag: bool
) -> Pipeline:
    """Convert a pipeline at the ECB's rates, or at those of a file."""
    rates = fx.ecb_rates() if rates_file is None else fx.read_rates(rates_file, home)
    return fx.convert(pipeline, home, rates, missing="flag" if flag else "error")


def calibrated(pipeline: Pipeline, store: Path | None, *, sample: bool) -> pd.Series:
    """Correct the probabilities of open deals by what earlier deals became.

    The last snapshot of each month before the pipeline's day is learnt from.
    """
    days = _snapshots(pipeline, store, sample=sample)
    return calibration.calibrate(pipeline, calibration.fit(calibration.outcomes(days, pipeline)))


def bridge_since(
    pipeline: Pipeline, since: date, store: Path | None, *, sample: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Explain how the open pipeline of an earlier day became today's, and by which deals."""
    if sample:
        earlier = [day for day in history.sample_history() if day.as_of <= since]
        if not earlier:
            raise HistoryError("the sample account has no snapshot so early")
        before = earlier[-1]
    else:
        with history.open_store(store, read_only=True) as opened:
            before = opened.as_of(since, pipeline.account)
    return history.changes(before, pipeline), history.changed_deals(before, pipeline)


def _snapshots(pipeline: Pipeline, store: Path | None, *, sample: bool) -> list[Pipeline]:
    if sample:
        days = history.sample_history()
    else:
        with history.open_store(store, read_only=True) as opened:
            taken = opened.snapshots(pipeline.account)["taken_at"]
            last_of_month = taken.groupby(taken.dt.strftime("%Y-%m")).max()
            days = [opened.as_of(moment, pipeline.account) for moment in last_of_month]
    return [day for day in days if day.loaded_at < pipeline.loaded_at]
