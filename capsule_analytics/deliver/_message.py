"""What is said of a report when it is sent: a subject, some lines, short tables, pictures."""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table as TextTable

from capsule_analytics._safe_text import one_line
from capsule_analytics._words import (
    currency_name,
    day_words,
    format_compact,
    format_money,
    percent,
    period_text,
    whole_number,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from capsule_analytics.report import Figures

_CURRENCIES = 6
_NEEDS = 10
_LONGEST = 60  # characters of a name
_WIDTH = 76  # characters of a line in a mail without HTML
_PICTURES = {
    "projection": "What was won, and what will probably be won, by month",
    "forecast": "Won and open deals by close month",
    "changes": "How the open pipeline changed",
    "targets": "How far the targets are reached",
    "revenue": "When the deals bring revenue",
}
_LARGEST_PAGE = 10_000_000  # bytes; many mail servers take no more than 20 MB, a third is coding
_PARTS = {
    "opening": "Open before",
    "new": "New",
    "reopened": "Reopened",
    "value_up": "Value up",
    "value_down": "Value down",
    "pulled_in": "Pulled in",
    "pushed_out": "Pushed out",
    "won": "Won",
    "lost": "Lost",
    "deleted": "Deleted",
    "closing": "Open now",
}


@dataclass(frozen=True)
class Table:
    """A short table, as text.

    Attributes
    ----------
    title
        What it shows.
    columns
        Its headings; from the second on, those in `numbers` are aligned right.
    rows
        Its cells.
    numbers
        Headings of the columns that hold numbers.
    links
        Where the first cell of each row leads; empty for no links.
    note
        What is not in it; may be empty.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()
    links: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A chart as PNG, with its text alternative."""

    file: str
    words: str
    data: bytes


@dataclass(frozen=True)
class Message:
    """What is said of a report, the same for every way of sending it.

    Attributes
    ----------
    subject
        One line.
    headline
        Sentences, the most important first.
    outlook
        What each currency is expected to bring.
    changes
        What changed since an earlier day, in the first currency; None where nothing is compared.
    needs
        The deals that need someone; None where none does.
    notes
        How to read it, and what was left out.
    pictures
        Charts: the first is shown, the others go along.
    page
        The report as one HTML file; None where there is none.
    """

    subject: str
    headline: tuple[str, ...]
    outlook: Table
    changes: Table | None = None
    needs: Table | None = None
    notes: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    page: bytes | None = None

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables, in the order in which they are read."""
        return tuple(one for one in (self.outlook, self.needs, self.changes) if one is not None)

    @property
    def text(self) -> str:
        """All of it as plain text, for a reader without HTML."""
        parts = ["\n\n".join(self.headline), *map(_as_text, self.tables), "\n".join(self.notes)]
        return "\n\n".join(part for part in parts if part) + "\n"


def message_of(
    figures: Figures,
    files: Iterable[Path] = (),
    *,
    projection: pd.DataFrame | None = None,
    track_record: str = "",
    deal_url: str = "",
) -> Message:
    """Say what a report shows, in a few lines.

    Parameters
    ----------
    figures
        What is reported.
    files
        The report's files. The charts among them (PNG) and ``report.html`` go along; the chart
        that is shown is the projection, or else the forecast.
    projection
        What will probably be won: one row a month (a period) and currency, with `won_value`,
        `open_value`, `new_value`, `expected_value`, `p10` and `p90`. Where it is given, it leads.
    track_record
        How far the projection can be trusted, as a sentence.
    deal_url
        What the address of a deal begins with, before its id; empty for no links.

    Returns
    -------
    The message. Names in it are cut, and hold no control characters.

    Raises
    ------
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> from capsule_analytics.report import Options, figures_of
    >>> message = message_of(figures_of(ca.load_sample(), Options(projection=False)))
    >>> message.subject.replace("\N{NO-BREAK SPACE}", " ")
    'Sales forecast, Tarn & Reed Consulting Ltd, 15 Oct 2026: £321K expected in October 2026'
    """
    pipeline = figures.pipeline
    today = day_words(pipeline.as_of.isoformat())
    account = _name(pipeline.account or "Capsule account")
    subject = f"Sales forecast, {account}, {today}"
    headline, expected = _headline(figures, projection, track_record)
    if expected:
        subject += f": {expected}"
    held = {path.name: path for path in files}
    page, notes = None, _notes(figures)
    if "report.html" in held:
        page = held["report.html"].read_bytes()
        if len(page) > _LARGEST_PAGE:
            size = f"{len(page) / 1e6:,.0f} MB"
            page, notes = None, (*notes, f"The page is too large to be sent ({size}).")
    return Message(
        subject,
        headline,
        outlook=_outlook(figures, projection),
        changes=_changes(figures),
        needs=_needs(figures, deal_url),
        notes=notes,
        pictures=tuple(
            Picture(f"{name}.png", words, held[f"{name}.png"].read_bytes())
            for name, words in _PICTURES.items()
            if f"{name}.png" in held
        ),
        page=page,
    )


def _name(value: object) -> str:
    """Write a name in one line, without what turns other text round, and not long."""
    if not isinstance(value, str):
        return ""
    words = one_line(value)
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _deals(count: int) -> str:
    return f"{count:,} deal{'' if count == 1 else 's'}"


def _headline(
    figures: Figures, projection: pd.DataFrame | None, track_record: str
) -> tuple[tuple[str, ...], str]:
    """Write the sentences, and the few words for the subject."""
    if not figures.headlines:
        return ("There is no open and no won deal.",), ""
    head = figures.headlines[0]

    def money(amount: float) -> str:
        return format_money(amount, head.currency, whole=True)

    lines = []
    projected = _projected(projection, head.currency)
    if projected is not None:
        row, month = projected, projected["month"].strftime("%B %Y")
        expected = f"{format_compact(row['expected_value'], head.currency)} expected in {month}"
        lines.append(
            f"{money(row['expected_value'])} will probably be won in {month}: "
            f"{money(row['won_value'])} so far, {money(row['open_value'])} from open deals, "
            f"{money(row['new_value'])} from business not yet in the list. Four outcomes in five "
            f"lie between {money(row['p10'])} and {money(row['p90'])}."
        )
        if track_record:
            lines.append(one_line(track_record))
    else:
        now = head.month
        expected = f"{format_compact(now.expected, head.currency)} expected in {now.name}"
        kind = "stated" if figures.options.probability is None else "corrected"
        lines += [
            f"{money(one.expected)} expected in {one.name}: {money(one.won)} won, and "
            f"{money(one.expected - one.won)} from open deals if every {kind} probability and date "
            f"is right (P10 to P90 of that: {money(one.low)} to {money(one.high)})."
            for one in (head.month, head.quarter)
        ]
    if head.target is not None:
        lines.append(_target(head.target, money))
    overdue = "none of them overdue"
    if head.overdue_deals:
        are = "is" if head.overdue_deals == 1 else "are"
        late = f"{_deals(head.overdue_deals)} worth {money(head.overdue_value)}"
        overdue = f"of which {late} {are} overdue"
    lines.append(f"Open: {_deals(head.open_deals)} worth {money(head.open_value)}, {overdue}.")
    lines += [one.sentence for one in figures.attention if one.currency == head.currency]
    return tuple(lines), expected


def _target(target: dict[str, Any], money: Any) -> str:  # noqa: ANN401 - a local function
    words = f"Target of {period_text(target['period'])}: {money(target['won_value'])} of "
    words += f"{money(target['target'])} won, {money(target['expected_value'])} expected"
    chance = target["chance"]
    return f"{words}." if pd.isna(chance) else f"{words}; the chance is {percent(chance)}."


def _projected(projection: pd.DataFrame | None, currency: str | None) -> Any:  # noqa: ANN401
    """Find a currency's first month; None where nothing is projected for it."""
    if projection is None:
        return None
    rows = projection[_in_currency(projection, currency)].sort_values("month")
    return None if rows.empty else rows.iloc[0]


def _in_currency(table: pd.DataFrame, currency: str | None) -> Any:  # noqa: ANN401 - an array
    names = table["currency"].astype("object")
    found = names.isna() if currency is None else (names == currency)
    return found.fillna(value=False).to_numpy(dtype=bool)


def _outlook(figures: Figures, projection: pd.DataFrame | None) -> Table:
    """Tell what each currency is expected to bring: the projected month, or this one weighted."""
    shown, left = figures.headlines[:_CURRENCIES], figures.headlines[_CURRENCIES:]
    # A quarter stands beside a month of its own kind alone: projected, or weighted.
    quarters = {head.currency: head.quarter.expected for head in shown}
    if projection is not None:
        quarters = {one.currency: one.quarter.expected for one in figures.outlook}
    with_quarter = all(head.currency in quarters for head in shown)
    rows = []
    for head in shown:
        projected = _projected(projection, head.currency)
        if projected is None:
            one = head.month
            amounts: tuple[Any, ...] = (one.won, one.expected, one.low, one.high)
        else:
            amounts = tuple(projected[["won_value", "expected_value", "p10", "p90"]])
        if with_quarter:
            amounts = (*amounts, quarters[head.currency])
        rows.append((head.name, *(whole_number(float(amount)) for amount in amounts)))
    columns = ("Currency", "Won", "Expected", "P10", "P90", *(["Quarter"] if with_quarter else []))
    notes = []
    if projection is None:
        kind = "stated" if figures.options.probability is None else "corrected"
        notes.append(f"Expected, P10 and P90 as if every {kind} probability and date were right.")
    if left:
        notes.append(f"More in the report: {', '.join(head.name for head in left)}.")
    month = figures.month.strftime("%B %Y")
    return Table(
        f"{month} by currency",
        columns,
        tuple(rows),
        frozenset(columns[1:]),
        note=" ".join(notes),
    )


def _changes(figures: Figures) -> Table | None:
    """Tell what changed in the first currency."""
    bridge = figures.options.changes
    if bridge is None or not figures.headlines:
        return None
    currency = figures.headlines[0].currency
    rows = tuple(
        (
            _PARTS.get(row["part"], str(row["part"])),
            f"{row['deals']:,}",
            format_money(row["value"], currency, whole=True),
        )
        for row in bridge[_in_currency(bridge, currency)].to_dict("records")
        if row["deals"] or row["part"] in ("opening", "closing")
    )
    since = bridge.attrs.get("before")
    others = sorted(set(map(currency_name, bridge.loc[bridge["deals"] > 0, "currency"])))
    others = [name for name in others if name != currency_name(currency)]
    return Table(
        f"Changes since {day_words(since)}, {currency_name(currency)}" if since else "Changes",
        ("Change", "Deals", "Value"),
        rows,
        frozenset(("Deals", "Value")),
        note=f"More in the report: {', '.join(others)}." if others else "",
    )


def _needs(figures: Figures, deal_url: str) -> Table | None:
    """List the deals that need someone, the few of each currency to begin with first."""
    needs = figures.needs[(figures.needs["urgency"] != "note").to_numpy(dtype=bool)]
    if needs.empty:
        return None
    needs = needs.sort_values("urgency", kind="stable")
    first = needs.head(_NEEDS).to_dict("records")
    left = len(needs) - len(first)
    return Table(
        "Deals that need someone",
        ("Deal", "Value", "Owner", "Why"),
        tuple(
            (
                _name(row["name"]) or f"deal {row['id']}",
                format_money(row["tcv"], row["currency"], whole=True),
                _name(row["owner"]) or "nobody",
                _name(row["reason"]),
            )
            for row in first
        ),
        frozenset(("Value",)),
        # A negative id is ours, for a deal that came without one.
        tuple(f"{deal_url}{row['id']}" if deal_url and row["id"] > 0 else "" for row in first),
        note=f"And {left:,} more in the report." if left else "",
    )


def _notes(figures: Figures) -> tuple[str, ...]:
    """Say which deals these are, and what is wrong with them."""
    pipeline, notes = figures.pipeline, []
    if figures.options.selection:
        notes.append(f"Only a selection of the account: {one_line(figures.options.selection)}.")
    wrong = {kind: figures.severities.get(kind, 0) for kind in ("error", "warning")}
    found = [f"{n:,} {kind}{'' if n == 1 else 's'}" for kind, n in wrong.items() if n]
    if found:
        notes.append(
            f"Data quality: {' and '.join(found)}; data_quality.csv in the report names them."
        )
    notes.append(f"Read from Capsule on {pipeline.loaded_at:%Y-%m-%d %H:%M} UTC.")
    return tuple(notes)


def _as_text(table: Table) -> str:
    """Lay a table out with blanks."""
    view = TextTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in table.columns:
        number = name in table.numbers
        view.add_column(
            name, justify="right" if number else "left", overflow="fold", no_wrap=number
        )
    for cells in table.rows:
        view.add_row(*cells)
    console = Console(
        file=StringIO(), width=_WIDTH, markup=False, highlight=False, color_system=None, emoji=False
    )
    console.print(view)
    laid_out = "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined] # the StringIO
    return "\n".join([table.title, "", laid_out, *filter(None, [table.note])])
