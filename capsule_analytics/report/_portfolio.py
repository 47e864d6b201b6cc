"""The figures of a group, taken from the export of its accounts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from capsule_analytics.portfolio import Portfolio, parted

from ._group import GroupFigures
from ._options import Options
from ._outlook import MONTHS_AHEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date
    from pathlib import Path
    from typing import Unpack

    from capsule_analytics.portfolio import OnError, Summing


def group_figures(
    path: str | Path,
    *,
    day: date | str | None = None,
    changes_since: date | str | None = None,
    by: Sequence[str] = (),
    on_error: OnError = "raise",
    formats: tuple[str, ...] = ("png",),
    html: bool = False,
    xlsx: bool = False,
    inputs: Sequence[Path] = (),
    projection: bool = True,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[Summing],
) -> GroupFigures:
    """Take the figures of a report on a group from the export of its accounts.

    Parameters
    ----------
    path
        The folder of the export, or its address (see `capsule_analytics.portfolio.Portfolio`).
    day
        Each account counts with its newest snapshot at or before it; None means the newest.
    changes_since
        Explain how the pipelines of that day became those of `day`; None for not at all.
    by
        Further columns to group the forecast and the revenue schedule by.
    on_error
        Stop at an account that cannot be read, or skip it: it is then listed in left_out.csv.
    formats, html, xlsx, inputs
        As in `Options`.
    projection
        Whether to project what each account will win, and all together: one or two seconds an
        account. It looks from the day of the newest snapshot.
    progress
        As for `Portfolio.project`; called when a figure first needs the projection.
    **options
        As for `Portfolio.by_month`; the ranges are given unless they are switched off.

    Returns
    -------
    The figures. Each is computed when it is first asked for, wherever the accounts are read;
    `write_figures` writes them.

    Raises
    ------
    DataError
        If there is no export.
    ArgumentError
        If an option is not valid, or no snapshot is so old.

    Examples
    --------
    >>> import tempfile
    >>> import capsule_analytics as ca
    >>> folder = tempfile.TemporaryDirectory()
    >>> with ca.history.open_store(f"{folder.name}/history.duckdb") as store:
    ...     store.record(ca.load_sample())
    ...     files = store.export_parquet(f"{folder.name}/export")
    >>> figures = group_figures(f"{folder.name}/export", projection=False)
    >>> figures.accounts[["currency", "open_deals", "open_value"]].head(2)
      currency  open_deals  open_value
    0      GBP         114  3391748.50
    1      EUR          28   776998.75
    >>> folder.cleanup()
    """
    portfolio = Portfolio(path, on_error=on_error)
    viewing, how = parted(options)
    before = None if changes_since is None else portfolio.on(changes_since)
    made = Options(
        by=tuple(by), formats=formats, html=html, xlsx=xlsx, inputs=tuple(inputs),
        projection=projection, **how,
    )  # fmt: skip
    view = portfolio.on(day, **viewing)
    project = None
    if projection:
        same: Any = {name: value for name, value in viewing.items() if name != "as_of"}
        project = partial(
            portfolio.project, MONTHS_AHEAD, day=day, period=("month", "quarter"),
            fiscal_year_start=made.fiscal_year_start, progress=progress, **same,
        )  # fmt: skip
    return GroupFigures(view, made, before, viewing.get("home_currency"), project)
