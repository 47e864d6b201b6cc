"""The report on one account: its figures as charts, tables, page and workbook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._csv import write_csv
from ._figures import figures_of
from ._folder import staged
from ._options import FORMATS, Options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capsule_analytics.schema import Pipeline

    from ._summed import Summed

_DPI = 144


def write_report(pipeline: Pipeline, folder: Path, options: Options | None = None) -> list[Path]:
    """Write the report's files into a folder.

    Parameters
    ----------
    pipeline
        What to report.
    folder
        As for `write_figures`.
    options
        How the figures are made.

    Returns
    -------
    The files, charts first.

    Raises
    ------
    ArgumentError
        If an option is not valid, a file of the report would replace one of its inputs, or another
        run writes into the folder.
    OSError
        If the folder cannot be written to; the old report is then as it was.
    """
    return write_figures(figures_of(pipeline, options), folder)


def write_figures(
    figures: Summed, folder: Path, *, placed: Callable[[], None] | None = None
) -> list[Path]:
    """Write figures as the files of a report into a folder.

    Parameters
    ----------
    figures
        What to report, as `figures_of` or `group_figures` gives it.
    folder
        Created if it does not exist. Files of an earlier report in it are replaced, or removed
        where this one has none of that name; other files stay.
    placed
        Called when all files are in place: from then on the folder holds this report, whatever
        interrupts the run.

    Returns
    -------
    The files, charts first.

    Raises
    ------
    ArgumentError, OSError
        As for `write_report`.
    """
    options = figures.options
    with staged(folder, options.inputs, placed=placed) as staging:
        _write_charts(figures, staging)
        for sheet in figures.sheets:
            path = staging / f"{sheet.file}.csv"
            write_csv(sheet.frame, path, amounts=sheet.amounts, days=sheet.days)
        if options.html:
            from ._page import write_html  # noqa: PLC0415 - needs an extra

            write_html(figures, staging / "report.html")
        if options.xlsx:
            from ._workbook import write_workbook  # noqa: PLC0415 - needs an extra

            write_workbook(figures.workbook, staging / "report.xlsx")
        names = sorted(staging.iterdir(), key=lambda path: (_order(path), path.name))
    return [folder / path.name for path in names]


def _order(path: Path) -> int:
    """Put charts first, then the report in one file, then the tables."""
    return (*(f".{suffix}" for suffix in FORMATS), ".html", ".xlsx", ".csv").index(path.suffix)


def _write_charts(figures: Summed, folder: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - a second to import, needed here alone

    from capsule_analytics import plot  # noqa: PLC0415
    from capsule_analytics.plot import missing_letters_told  # noqa: PLC0415

    if not figures.options.formats:
        return
    with missing_letters_told():
        for name, table in figures.charts.items():
            beside = (figures.forecast_month,) if name == "projection" else ()
            figure, _ = getattr(plot, name)(table, *beside)
            for suffix in figures.options.formats:
                figure.savefig(folder / f"{name}.{suffix}", dpi=_DPI, bbox_inches="tight")
            plt.close(figure)
