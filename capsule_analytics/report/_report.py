"""The report on one account: its figures as charts, tables, page and workbook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capsule_analytics._drawing import Chart, Drawing

from ._csv import write_csv
from ._figures import figures_of
from ._folder import staged
from ._options import FORMATS, Options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capsule_analytics.schema import Pipeline

    from ._summed import Summed


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
    figures: Summed,
    folder: Path,
    *,
    placed: Callable[[], None] | None = None,
    drawing: Drawing | None = None,
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
    drawing
        What draws the charts; None means that they are drawn here, one after the other.

    Returns
    -------
    The files, charts first.

    Raises
    ------
    ArgumentError, OSError
        As for `write_report`.
    """
    options = figures.options
    drawing = Drawing(beside=False) if drawing is None else drawing
    with staged(folder, options.inputs, placed=placed) as staging:
        if options.formats:
            for name, tables in figures.charts:
                drawing.add(Chart(name, tables, options.formats))
        for sheet in figures.sheets:
            path = staging / f"{sheet.file}.csv"
            write_csv(sheet.frame, path, amounts=sheet.amounts, days=sheet.days)
        if options.html:
            from ._page import write_html  # noqa: PLC0415 - needs an extra

            write_html(figures, staging / "report.html")
        if options.xlsx:
            from ._workbook import write_workbook  # noqa: PLC0415 - needs an extra

            write_workbook(figures.workbook, staging / "report.xlsx")
        for drawn in drawing.collect():
            for suffix, picture in drawn.files.items():
                (staging / f"{drawn.name}.{suffix}").write_bytes(picture)
        names = sorted(staging.iterdir(), key=lambda path: (_order(path), path.name))
    return [folder / path.name for path in names]


def _order(path: Path) -> int:
    """Put charts first, then the report in one file, then the tables."""
    return (*(f".{suffix}" for suffix in FORMATS), ".html", ".xlsx", ".csv").index(path.suffix)
