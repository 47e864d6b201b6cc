"""Whatever is drawn can be read: no text is cut off, nothing covers anything."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import capsule_analytics as ca
from capsule_analytics import plot
from capsule_analytics._drawing import missing_letters_told
from capsule_analytics.plot import _style

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

mpl.use("agg")


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def box(text: Text) -> Bbox:
    return text.get_window_extent()


def shown_ticks(ax: Axes, axis: str) -> list[Text]:
    which = ax.xaxis if axis == "x" else ax.yaxis
    low, high = sorted(which.get_view_interval())
    ticks = [tick for tick in which.get_major_ticks() if low <= tick.get_loc() <= high]
    return [tick.label1 for tick in ticks if tick.label1.get_text()]


def assert_readable(fig: Figure) -> None:
    fig.canvas.draw()
    page = fig.bbox
    texts = [text for text in fig.findobj(mpl.text.Text) if text.get_visible() and text.get_text()]
    hidden = {
        tick.label1
        for ax in fig.axes
        for axis in (ax.xaxis, ax.yaxis)
        for tick in axis.get_major_ticks()
    } - {label for ax in fig.axes for axis in "xy" for label in shown_ticks(ax, axis)}
    for text in texts:
        if text not in hidden:
            extent = box(text)
            inside = (
                extent.x0 >= page.x0 - 1
                and extent.x1 <= page.x1 + 1
                and extent.y0 >= page.y0 - 1
                and extent.y1 <= page.y1 + 1
            )
            assert inside, f"{text.get_text()!r} is cut off"
    for ax in fig.axes:
        for axis in "xy":
            for one, other in pairwise(shown_ticks(ax, axis)):
                assert not box(one).overlaps(box(other)), (one.get_text(), other.get_text())
        titles = [
            title for title in (ax.title, ax._left_title, ax._right_title) if title.get_text()
        ]
        for one, other in combinations(titles, 2):
            assert not box(one).overlaps(box(other)), (one.get_text(), other.get_text())
    for legend in fig.legends:
        covered = [ax for ax in fig.axes if legend.get_window_extent().overlaps(ax.get_tightbbox())]
        assert not covered
    for one, other in combinations(fig.axes, 2):
        assert not one.get_tightbbox().overlaps(other.get_tightbbox())


def months(count: int, currencies: list[str | None], first: str = "2025-11") -> pd.DataFrame:
    """Write out a forecast of a million or so a month, with everything that can be drawn."""
    periods = pd.period_range(first, periods=count, freq="M")
    parts = [
        pd.DataFrame(
            {
                "month": [*periods, pd.NaT],
                "currency": pd.array([currency] * (count + 1), "string[python]"),
                "open_deals": 3,
                "open_value": 987_654_321.0,
                "weighted_value": 456_789_012.0,
                "won_deals": 2,
                "won_value": 123_456_789.0,
                "overdue_weighted": 56_789_012.0,
                "p10": 3e8,
                "p50": 5e8,
                "p90": 8e8,
            }
        )
        for currency in currencies
    ]
    table = pd.concat(parts, ignore_index=True)
    table["month"] = pd.PeriodIndex(table["month"], freq="M")
    table.attrs = {"as_of": "2026-10-15", "overdue": "drop", "account": "A" * 40}
    return table


@pytest.mark.parametrize("count", [1, 7, 13, 25, 36, 60, 240])
def test_forecasts_of_any_length_can_be_read(count: int) -> None:
    fig, _ = plot.forecast(months(count, ["GBP"]))
    assert_readable(fig)


@pytest.mark.parametrize(("draw", "count"), [(plot.forecast, 2), (plot.fan, 3), (plot.forecast, 9)])
def test_forecasts_of_many_currencies_can_be_read(draw: Any, count: int) -> None:
    codes = ["GBP", "EUR", "USD", "CHF", "XXX", None, "XAF", "AUD", "JPY"][:count]
    fig, axes = draw(months(30, codes))
    assert len(axes) == count
    assert_readable(fig)


def test_the_users_own_axes_can_be_read() -> None:
    fig, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    plot.forecast(months(30, ["GBP", "EUR"]), ax=axes[0])
    plot.fan(months(30, ["USD", None]), ax=axes[1])
    assert_readable(fig)
    # Axes that were there before know nothing of our settings: a dollar sign is no formula.
    assert not any(ax.xaxis.label.get_parse_math() for ax in axes[1])


@pytest.mark.parametrize("period", ["month", "quarter"])
def test_the_sample_account_can_be_read(period: Any) -> None:
    pipeline = ca.load_sample()
    fig, _ = plot.forecast(ca.forecast.by_month(pipeline, period=period, fiscal_year_start=4))
    assert_readable(fig)


@pytest.mark.parametrize("draw", [plot.milestones, plot.ageing])
def test_the_sample_pipeline_can_be_read(draw: Any) -> None:
    fig, _ = draw(ca.load_sample())
    assert_readable(fig)


@pytest.mark.parametrize("count", [1, 2, 6])
def test_a_bridge_of_many_currencies_can_be_read(count: int) -> None:
    bridge = ca.history.changes(*ca.history.sample_history()[-4::3])
    pounds = bridge[bridge["currency"] == "GBP"]
    sizes = {"GBP": 1.0, "JPY": 100.0, "EUR": 0.8, "USD": 1e3, "XXX": 0.001, None: 0.02}
    table = pd.concat(
        [
            pounds.assign(currency=code, value=pounds["value"] * size)
            for code, size in list(sizes.items())[:count]
        ]
    )
    table.attrs = bridge.attrs
    fig, _ = plot.changes(table)
    assert_readable(fig)


def test_a_bridge_two_abreast_can_be_read_and_leaves_out_what_did_not_change() -> None:
    parts = ["opening", "new", "value_up", "won", "closing"]
    changed = pd.DataFrame({"part": parts, "deals": [120, 12, 34, 56, 110]})
    changed["value"] = [123_400.0, 12_300.0, 1_230.0, -22_500.0, 114_430.0]
    still = pd.DataFrame({"part": parts, "deals": [1, 0, 0, 0, 1]})
    still["value"] = [5.0, 0.0, 0.0, 0.0, 5.0]
    codes = ["GBP", "CHF", "USD", "XXX", None]
    table = pd.concat(
        [*(changed.assign(currency=one) for one in codes), still.assign(currency="EUR")]
    )
    fig, axes = plot.changes(table)
    assert_readable(fig)
    assert [ax.get_title(loc="left") for ax in axes] == ["CHF", "GBP", "USD", "XXX", "no currency"]
    assert "Nothing changed in EUR." in [text.get_text() for text in fig.texts]
    first, *others = (ax.get_position() for ax in axes)
    assert all(first.width > 1.9 * other.width for other in others)
    nothing, _ = plot.changes(still.assign(currency="EUR"))
    assert_readable(nothing)


def armenian() -> list[Figure]:
    """Charts with names in letters that the font STIX does not have."""
    name = "\N{ARMENIAN CAPITAL LETTER HO}\N{ARMENIAN SMALL LETTER AYB}"
    rows = pd.DataFrame({"owner": [name], "deals": 8, "pushed": 2, "mean_days": 6.0})
    rows.attrs = {"account": name}
    pipeline = ca.load_sample()
    deals = pipeline.opportunities
    deals = deals[(deals["currency"] == "CHF").to_numpy()].assign(milestone=name)
    with mpl.rc_context({"font.family": "STIXGeneral"}):
        named = replace(pipeline, opportunities=deals)
        return [plot.slippage(rows)[0], plot.milestones(named)[0], plot.ageing(named)[0]]


def test_names_take_the_letters_that_the_font_lacks_from_another(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_style, "_MORE_FONTS", ())
    for fig in armenian():
        with pytest.warns(UserWarning, match="missing from"):
            fig.canvas.draw()
    monkeypatch.setattr(_style, "_MORE_FONTS", ("No Such Font", "DejaVu Sans"))
    for fig in armenian():
        # Warnings are errors here.
        fig.canvas.draw()
    # What matplotlib says of fonts that it does not find, it logs.
    assert not caplog.records


def test_names_of_any_kind_can_be_read() -> None:
    table = pd.DataFrame(
        {
            "owner": ["x" * 200, "$a_b$ & $c^2$", "<b>", "two\nlines"],
            "deals": [1_000_000, 2, 3, 4],
            "pushed": [999_999, 1, 0, 2],
            "mean_days": [1234.5, -2000.0, 0.0, 3.0],
        }
    )
    fig, ax = plot.slippage(table)
    assert_readable(fig)
    assert "$a_b$ & $c^2$" in [label.get_text() for label in ax.get_yticklabels()]


def test_the_fills_differ_in_lightness() -> None:
    """Won, open and overdue can be told apart in grey print and with any colour vision."""

    def lightness(fill: dict[str, Any]) -> float:
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in mpl.colors.to_rgb(fill["facecolor"])
        ]
        luminance = float(np.dot([0.2126, 0.7152, 0.0722], linear))
        return 116 * luminance ** (1 / 3) - 16

    won, weighted, late = (lightness(fill) for fill in (_style.WON, _style.WEIGHTED, _style.LATE))
    assert abs(won - weighted) > 30
    assert abs(won - late) > 30
    assert _style.LATE["hatch"]
    assert "hatch" not in _style.WEIGHTED


def test_letters_that_no_font_has_are_told_once_for_all_charts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_style, "_MORE_FONTS", ())
    figures = armenian()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with missing_letters_told():
            for fig in figures:
                fig.canvas.draw()
            warnings.warn("something else", FutureWarning, stacklevel=1)
    other, letters = caught
    assert (other.category, str(other.message)) == (FutureWarning, "something else")
    assert "no installed font has the letters \N{ARMENIAN CAPITAL LETTER HO} " in str(
        letters.message
    )
    assert "Glyph" not in str(letters.message)
    assert letters.filename == __file__


def test_of_many_letters_that_no_font_has_some_are_named() -> None:
    def lack(letters: str) -> None:
        with missing_letters_told():
            for letter in letters:
                warnings.warn(f"Glyph {ord(letter)} (X) missing from font(s) F.", stacklevel=1)

    with pytest.warns(UserWarning, match=r"letters a b c d e f g h i j and 2 more: names"):
        lack("abcdefghijkl")


def test_nothing_is_told_where_no_letter_is_missing() -> None:
    with missing_letters_told():
        plot.slippage(
            pd.DataFrame({"owner": ["amy"], "deals": [1], "pushed": [0], "mean_days": [0.0]})
        )[0].canvas.draw()
