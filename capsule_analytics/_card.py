"""The card by which an object shows itself in a notebook; it suits light and dark themes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Colours are of the notebook: its text colour, thinned for lines.
_CARD = (
    "display:inline-block;border:1px solid rgba(128,128,128,.4);border-radius:6px;"
    "padding:8px 14px;line-height:1.5"
)
_CELL = "padding:1px 14px 1px 0;border:0;background:none"
_NUMBER = f"{_CELL};text-align:right;font-variant-numeric:tabular-nums"


def card(
    title: str,
    about: str,
    lines: Sequence[str],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    names: bool = True,
) -> str:
    """Lay out a card; everything is escaped here, and only here.

    Parameters
    ----------
    title
        What is shown, in bold.
    about
        As of when, or what it stands on, after the title.
    lines
        Sentences below.
    header
        The table's header.
    rows
        The table, as text; without rows there is none.
    names
        Whether the first column holds names; otherwise all are figures.

    Returns
    -------
    HTML.

    Examples
    --------
    >>> "R&amp;D" in card("R&D", "as of today", ["Well."], ["Open"], [])
    True
    """

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f'<{tag} style="{_CELL if names and place == 0 else _NUMBER}">{escape(text)}</{tag}>'
            for place, text in enumerate(cells)
        )

    told = "".join(f"<div>{escape(text)}</div>" for text in lines)
    body = "".join(f'<tr style="background:none">{line("td", row)}</tr>' for row in rows)
    table = (
        f'<table style="border:0;margin:4px 0 0;background:none"><thead><tr>{line("th", header)}'
        f"</tr></thead><tbody>{body}</tbody></table>"
    )
    return (
        f'<div style="{_CARD}"><div><strong>{escape(title)}</strong> '
        f'<span style="opacity:.7">{escape(about)}</span></div>{told}{table if rows else ""}</div>'
    )
