"""What the commands show on a terminal: progress while it loads, a summary at the end."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import date
from math import isnan
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from capsule_analytics._safe_text import one_line, safe
from capsule_analytics._words import counted, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    import pandas as pd
    from rich.text import Text

    from capsule_analytics.report import Figures, GroupFigures

_WIDE = 140
_FINDINGS = 10  # deals that may explain a difference
_ROWS = 18  # months and currencies of the summary; the CSV has them all


class _Console(Console):
    """Prints words that are safe to print; whatever it prints passes here."""

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401
        """Turn words into what is laid out."""
        return super().render_str(safe(text), **options)


@contextmanager
def loading(what: str) -> Iterator[Callable[[int], None]]:
    """Show how many opportunities have arrived, on a terminal; show nothing in a pipe.

    Parameters
    ----------
    what
        What is being loaded.

    Yields
    ------
    A function to call with the number of records of each page.
    """
    console = _Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    from rich.progress import (  # noqa: PLC0415 - where it is shown
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    progress = Progress(
        TextColumn(f"Loading {escape(one_line(what))}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} opportunities"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with progress:
        task = progress.add_task("", total=None)
        yield lambda records: progress.advance(task, records)


class Projecting:
    """Shows how far the projection of a portfolio is, on a terminal; nothing in a pipe.

    Called with how many of how many steps are done, within its context.
    """

    def __init__(self) -> None:
        from rich.progress import (  # noqa: PLC0415 - where it is shown
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._progress = Progress(
            TextColumn("Projecting accounts"),
            BarColumn(),
            TextColumn("{task.percentage:.0f}%"),
            TimeElapsedColumn(),
            console=_Console(stderr=True),
            transient=True,
            disable=not _Console(stderr=True).is_terminal,
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> None:
        """Begin to show it."""
        if not self._progress.disable:  # older releases of rich write an empty line even so
            self._progress.start()

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        if not self._progress.disable:
            self._progress.stop()

    def __call__(self, done: int, steps: int) -> None:
        """Show how far it is."""
        self._progress.update(self._task, completed=done, total=steps)


def verified(table: pd.DataFrame) -> None:
    """Print our sums beside Capsule's.

    Parameters
    ----------
    table
        As `load.verify` makes it.
    """
    console = _Console()
    if table.empty:
        console.print("Not verified: the server adds up no totals, or no deal is open.")
        return
    console.print("Verified against the totals that Capsule adds up itself:")
    for row in table.itertuples():
        what = f"{row.currency} {str(row.measure).replace('_', ' ')}"
        theirs = "none" if isnan(row.capsule) else f"{row.capsule_currency} {row.capsule:,.2f}"
        difference = "not comparable" if isnan(row.difference) else f"{row.difference:+,.2f}"
        line = f"  {what}: ours {row.ours:,.2f}, Capsule {theirs}, difference {difference}"
        console.print(line, soft_wrap=True, highlight=False)
        found = row.findings.splitlines()
        if found:
            console.print("    Deals of which Capsule may take another figure than we do:")
        for finding in found[:_FINDINGS]:
            console.print(f"      {finding}", soft_wrap=True, highlight=False, markup=False)
        if len(found) > _FINDINGS:
            console.print(f"      and {len(found) - _FINDINGS:,} more in data_quality.csv")


def announce_wait(account: str) -> Callable[[datetime], None]:
    """Say that the server's request limit makes the run wait, and until when.

    Parameters
    ----------
    account
        Whose limit it is; several accounts may be loaded at the same time.

    Returns
    -------
    What to call with the local time at which the limit resets.
    """

    def announce(until: datetime) -> None:
        _Console(stderr=True, highlight=False, markup=False).print(
            f"{account}: the request limit is used up; waiting until {until:%H:%M:%S}, when it "
            "resets.",
            soft_wrap=True,
        )

    return announce


def summary(figures: Figures, files: list[Path]) -> None:
    """Print what will probably be won, the coming months, what to check, and where the files are.

    Parameters
    ----------
    figures
        What was reported.
    files
        The report's files.
    """
    console = _plain_console()
    _print_outlook(console, figures)
    console.print(f"{figures.pipeline!r}"[1:-1])
    if figures.pipeline.caution:
        console.print(figures.pipeline.caution, soft_wrap=True)
    console.print(_forecast(figures.forecast))
    for vital in figures.attention[:1]:
        console.print(vital.sentence, soft_wrap=True)
    if len(figures.needs):
        more = ", ".join(f"{one.deals:,} in {one.name}" for one in figures.attention[1:])
        also = f"Also {more}; all" if more else "All"
        console.print(f"{also} are listed in attention.csv.", soft_wrap=True)
    console.print(_findings(figures.severities))
    _print_files(console, files)


def group_summary(figures: GroupFigures, files: list[Path]) -> None:
    """Print what all accounts will probably win, their months, what is left out, and the files."""
    console = _plain_console()
    _print_outlook(console, figures)
    total = figures.forecast_in_groups
    noted = total.attrs
    days = sorted({noted["oldest_day"], noted["day"]})
    console.print(
        f"Portfolio of {counted(noted['accounts'], 'account')}, read on {' to '.join(days)}"
    )
    console.print(_forecast(total, "forecast_total.csv"))
    for words, table in (
        ("Left out, and in no total", figures.unread),
        ("Not in the projection", figures.unprojected),
        ("Not in all figures", figures.left_out),
    ):
        names = ", ".join(map(repr, table["account"].unique()))
        if names:
            console.print(f"{words}: {names}; see left_out.csv.", soft_wrap=True)
            break
    _print_files(console, files)


def _plain_console() -> Console:
    """Print what is given as it is; wide where nobody's screen is the limit."""
    console = _Console(highlight=False, markup=False)  # names may have brackets
    if not console.is_terminal:
        console.width = _WIDE
    return console


def _print_outlook(console: Console, figures: Figures | GroupFigures) -> None:
    if not figures.outlook:
        return
    first, *others = figures.outlook
    console.print(first.sentence, soft_wrap=True)
    if others:
        names = ", ".join(one.name for one in others)
        console.print(f"Also projected: {names}; see projection.csv.", soft_wrap=True)


def _print_files(console: Console, files: list[Path]) -> None:
    console.print(
        f"Report in {files[0].parent}: {', '.join(path.name for path in files)}", soft_wrap=True
    )


def _forecast(table: pd.DataFrame, file: str = "forecast.csv") -> Table:
    period = table.columns[0]
    now = date.fromisoformat(table.attrs["as_of"])
    ahead = table[table[period].isna() | (table[period].dt.end_time.dt.date >= now)]
    shown = ahead.head(_ROWS)
    left = len(ahead) - len(shown)
    view = Table(
        title=f"Weighted forecast from {now}, if every stated probability and date were right,"
        " in whole units of the currency",
        caption=f"and {left} more rows in {file}" if left else None,
        box=box.SIMPLE,
        pad_edge=False,
    )
    groups = list(table.columns[1 : list(table.columns).index("open_deals")])
    view.add_column(period.capitalize(), no_wrap=True)
    for name in groups:
        view.add_column(name.capitalize(), overflow="fold")
    for name in ("Deals", "Open", "Weighted", "Won", "Expected"):
        view.add_column(name, justify="right", overflow="fold")
    amounts = ["open_value", "weighted_value", "won_value", "expected_value"]
    for row in shown.to_dict("records"):
        view.add_row(
            "undated" if row[period] is None or row[period] != row[period] else str(row[period]),
            *("none" if not isinstance(row[name], str) else row[name] for name in groups),
            f"{row['open_deals']:,}",
            *(whole_number(row[name]) for name in amounts),
        )
    return view


def _findings(counts: dict[str, int]) -> str:
    if not counts:
        return "No data-quality findings."
    parts = [
        f"{counts[kind]:,} {kind}{'' if counts[kind] == 1 else 's'}"
        for kind in ("error", "warning")
        if kind in counts
    ]
    notes = f", {counts['info']:,} for information" if "info" in counts else ""
    return f"Data quality: {' and '.join(parts) or 'nothing wrong'}{notes}; see data_quality.csv."
