"""The look of the charts, kept apart from the user's matplotlib settings.

Colours are of the Okabe-Ito palette, moved apart in lightness so that they also differ in grey
print; what is overdue or lost is hatched besides.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib as mpl
import matplotlib.style
from matplotlib.font_manager import fontManager
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from capsule_analytics._words import compact_number, format_compact

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

P = ParamSpec("P")
R = TypeVar("R")

INK = "#222222"
MUTED = "#5f5f5f"
GRID = "#e4e4e4"
EDGE = "#9a9a9a"
BAND = "#ececec"

WON: dict[str, Any] = {"facecolor": "#00507a", "linewidth": 0}
WEIGHTED: dict[str, Any] = {"facecolor": "#7cc4ee", "linewidth": 0}
LATE: dict[str, Any] = {
    "facecolor": "#f4b26a",
    "edgecolor": "#a84300",
    "hatch": "//////",
    "linewidth": 0,
}
OPEN: dict[str, Any] = WEIGHTED
NEW: dict[str, Any] = {
    "facecolor": "#f3e9b8",
    "edgecolor": "#8a7a1f",
    "hatch": "....",
    "linewidth": 0,
}
TOTAL: dict[str, Any] = {"facecolor": "#8a8a8a", "linewidth": 0}
"""Fills by meaning, as keywords of a patch. `LATE` also stands for what was lost."""

NOTE_SIZE = 8.0

# Outlines only: matplotlib cannot draw the bitmaps of Noto Color Emoji or Apple Color Emoji.
# fmt: off
_MORE_FONTS = (
    # Linux
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK KR",
    "Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback",
    "IPAexGothic", "IPAGothic", "Noto Emoji",
    # Windows
    "Yu Gothic", "Meiryo", "MS Gothic", "Microsoft YaHei", "Microsoft JhengHei", "Malgun Gothic",
    "Segoe UI Emoji", "Segoe UI Symbol",
    # macOS
    "Hiragino Sans", "PingFang SC", "Heiti TC", "Apple SD Gothic Neo", "Arial Unicode MS",
)
# fmt: on
"""Fonts with the letters that Western ones lack, as systems bring them along."""

_SETTINGS: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": EDGE,
    # Names and money may hold dollar signs, which are not formulas.
    "text.parse_math": False,
}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw with matplotlib's defaults and our settings, whatever the user has set.

    Only the fonts stay the user's own: names may need them.
    """

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        fonts: dict[str, Any] = {
            str(name): mpl.rcParams[name]
            for name in mpl.rcParams
            if name.startswith("font.") and name != "font.size"
        }
        with matplotlib.style.context(["default", {**fonts, **_SETTINGS}]):
            result = draw(*args, **kwargs)
            # pyplot's first import turns interactive mode on in a notebook: that must last.
            interactive = mpl.rcParams["interactive"]
        mpl.rcParams["interactive"] = interactive
        return result

    return drawn


def name_fonts() -> list[str]:
    """Return the fonts for names of people and milestones, which may be in any script.

    A letter that the user's fonts lack is taken from the next one that has it. Only installed
    fonts are named, as matplotlib warns of others; where none has a letter, it warns and draws a
    box. Not for bold words: many of these fonts have no bold, of which it warns too.
    """
    own = list(mpl.rcParams["font.family"])
    installed = set(fontManager.get_font_names())
    return [*own, *(name for name in _MORE_FONTS if name in installed and name not in own)]


def plain_axes(ax: Axes, *, values: str | None = "y") -> None:
    """Reduce axes to what is read: one baseline, and pale lines across the value axis."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelcolor=MUTED, color=EDGE, labelsize=NOTE_SIZE, length=3)
    ax.set_axisbelow(True)
    if values == "y":
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", color=GRID, linewidth=0.8)
    elif values == "x":
        ax.spines["bottom"].set_visible(False)
        ax.tick_params(axis="both", length=0)
        ax.grid(axis="x", color=GRID, linewidth=0.8)


def zero_line(ax: Axes) -> None:
    """Draw the line of zero where bars also reach below it."""
    ax.axhline(0, color=EDGE, linewidth=0.8)


def panel_money(amount: float, currency: str | None) -> str:
    """Write an amount inside the panel of its currency, which names it where it has none."""
    return compact_number(amount) if currency is None else format_compact(amount, currency)


def money_axis(ax: Axes, currency: str | None, *, axis: str = "y", ticks: int = 5) -> None:
    """Write the ticks of the value axis of a panel that is drawn, in the panel's currency."""
    which, extent = (
        (ax.yaxis, ax.dataLim.intervaly) if axis == "y" else (ax.xaxis, ax.dataLim.intervalx)
    )
    # Beside nothing but zeros, an axis up to 1 would look like amounts of 1.
    worthless = not (extent[0] < 0 or extent[1] > 0)
    which.set_major_locator(
        FixedLocator([0]) if worthless else MaxNLocator(nbins=ticks, steps=[1, 2, 2.5, 5, 10])
    )
    which.set_major_formatter(FuncFormatter(lambda amount, _: panel_money(amount, currency)))
