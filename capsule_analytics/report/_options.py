"""How the figures of a report are made, and which of them are shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from capsule_analytics import scenarios

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from capsule_analytics._deals import Overdue, Period, Probability
    from capsule_analytics.schema import Pipeline

FORMATS = ("png", "svg", "pdf")
"""Formats of the charts."""


@dataclass(frozen=True)
class Options:
    """How the figures of a report are made.

    Attributes
    ----------
    by
        Groups beside currency, as for `forecast.by_month`.
    period
        month, quarter or year.
    fiscal_year_start
        First month of the fiscal year.
    overdue
        keep, roll or drop.
    probability
        Other probabilities, as for `forecast.by_month`; None for Capsule's own.
    correlation
        How strongly deals rise and fall together, 0 to 1.
    ranges
        Whether the weighted forecast has its ranges.
    target
        Adds the chance that a month and currency reach this amount.
    formats
        Formats of the charts, of `FORMATS`; empty for no files of charts.
    html
        Write ``report.html`` too, one file with everything (extra ``html``).
    xlsx
        Write ``report.xlsx`` too, a workbook of the tables (extra ``excel``).
    targets
        Targets as `capsule_analytics.targets.read_targets` gives them; adds ``targets.csv`` and
        its chart. None where there are none.
    changes
        The bridge from an earlier day as `capsule_analytics.history.changes` gives it; adds
        ``changes.csv`` and its chart. None where there is none.
    thresholds
        Least probabilities of the forecast categories, as for `scenarios.by_category`.
    changed_deals
        The deals behind the bridge, as `capsule_analytics.history.changed_deals` gives them.
    projection
        Whether to project what will be won (`capsule_analytics.projection`); adds
        ``projection.csv``, its chart, ``projected_deals.csv`` and ``track_record.csv``.
    snapshots
        The account on earlier days, oldest first, which the projection, pushes and the conversion
        between milestones are learnt from.
    before
        The account on the day that ``changes`` begins with; None where there is none.
    web
        Address of the account's own pages, such as ``https://acme.capsulecrm.com``, to which
        deals are linked; empty for none.
    selection
        Which deals were loaded, in words, where they are not all of the account's.
    inputs
        Files that the figures come from, and that no file of the report may replace.
    """

    by: tuple[str, ...] = ()
    period: Period = "month"
    fiscal_year_start: int = 1
    overdue: Overdue = "keep"
    probability: Probability = None
    correlation: float = 0.0
    ranges: bool = True
    target: float | None = None
    formats: tuple[str, ...] = ("png",)
    html: bool = False
    xlsx: bool = False
    targets: pd.DataFrame | None = None
    changes: pd.DataFrame | None = None
    thresholds: Mapping[str, float] = field(default_factory=lambda: dict(scenarios.THRESHOLDS))
    changed_deals: pd.DataFrame | None = None
    projection: bool = True
    snapshots: tuple[Pipeline, ...] = ()
    before: Pipeline | None = None
    web: str = ""
    selection: str = ""
    inputs: tuple[Path, ...] = ()

    def placing(self) -> dict[str, Any]:
        """Return the options that the forecast and the revenue schedule share."""
        return {
            "by": self.by,
            "period": self.period,
            "fiscal_year_start": self.fiscal_year_start,
            "overdue": self.overdue,
            "probability": self.probability,
        }
