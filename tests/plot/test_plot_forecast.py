"""The charts of a forecast table: what is drawn where, and what is said beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from capsule_analytics import plot
from capsule_analytics.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

mpl.use("agg")
pytest.importorskip("babel")

picture = pytest.mark.mpl_image_compare(
    baseline_dir="pictures", tolerance=4, style="default", savefig_kwargs={"dpi": 60}
)

ROW = {
    "currency": "GBP",
    "open_deals": 0,
    "open_value": 0.0,
    "weighted_value": 0.0,
    "won_deals": 0,
    "won_value": 0.0,
    "overdue_deals": 0,
    "overdue_value": 0.0,
    "overdue_weighted": 0.0,
}


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def forecast_table(
    rows: list[dict[str, Any]], *, column: str = "month", freq: str = "M", **attrs: str
) -> pd.DataFrame:
    """Write out a table in the shape of `forecast.by_month`; amounts not given are 0."""
    table = pd.DataFrame([{column: None, **ROW, **row} for row in rows])
    table[column] = pd.PeriodIndex(table[column], freq=freq)
    table["currency"] = table["currency"].astype("string[python]")
    table["expected_value"] = table["won_value"] + table["weighted_value"]
    table.attrs = {"as_of": "2026-10-15", "overdue": "keep", "account": "Acme Ltd", **attrs}
    return table


def year_of(
    currency: str | None, *, months: int = 12, first: str = "2026-04", size: float = 1.0
) -> list[dict[str, Any]]:
    """Write out a plausible run of months around October 2026, won before and open after."""
    periods = pd.period_range(first, periods=months, freq="M")
    now = pd.Period("2026-10", freq="M")
    rows = []
    for number, month in enumerate(periods):
        value = size * 10_000.0 * (5 + (number * 7) % 6)
        late = 0.3 * value if month in (now - 2, now) else 0.0
        weighted = 0.0 if month < now - 2 else late + 0.4 * value * (month >= now)
        rows.append(
            {
                "month": str(month),
                "currency": currency,
                "open_deals": int(weighted > 0) * 3,
                "open_value": 2 * weighted,
                "weighted_value": weighted,
                "won_deals": int(month <= now) * 4,
                "won_value": value * (month <= now),
                "overdue_weighted": late,
            }
        )
    return rows


def bars(ax: Axes) -> dict[float, float]:
    """Return the height of the stack over each place of the time axis."""
    heights: dict[float, float] = {}
    for bar in (bar for container in ax.containers for bar in container):
        centre = bar.get_x() + bar.get_width() / 2
        heights[round(centre, 6)] = heights.get(round(centre, 6), 0.0) + bar.get_height()
    return heights


def ordinal(month: str) -> int:
    return pd.Period(month, freq="M").ordinal


@picture
def test_picture_of_one_month() -> Figure:
    row = {"month": "2026-10", "open_deals": 2, "open_value": 9e4, "weighted_value": 4e4}
    return plot.forecast(forecast_table([{**row, "won_deals": 1, "won_value": 2e4}]))[0]


@picture
def test_picture_of_three_years_with_range_and_notes() -> Figure:
    rows = year_of("GBP", months=36, first="2025-01")
    rows += [{"open_deals": 3, "open_value": 12_000.0, "weighted_value": 4_000.0}]
    table = forecast_table(rows, overdue="roll")
    spread = 0.6 * table["weighted_value"]
    table["p10"] = table["expected_value"] - spread
    table["p90"] = table["expected_value"] + spread
    return plot.forecast(table)[0]


@picture
def test_picture_of_six_currencies() -> Figure:
    codes = {"GBP": 1.0, "EUR": 0.8, "USD": 0.5, "JPY": 100.0, "XXX": 0.001, None: 0.02}
    rows = [row for code, size in codes.items() for row in year_of(code, size=size)]
    return plot.forecast(forecast_table(rows))[0]


@picture
def test_picture_of_no_deals() -> Figure:
    return plot.forecast(forecast_table(year_of("GBP"))[:0])[0]


@picture
def test_picture_of_quarters() -> Figure:
    rows = [
        {"quarter": f"2026Q{quarter}", "won_deals": 2, "won_value": 1e5 * quarter}
        for quarter in (1, 2, 4)
    ]
    return plot.forecast(forecast_table(rows, column="quarter", freq="Q-MAR"))[0]


@picture
def test_picture_of_revenue() -> Figure:
    table = forecast_table(year_of("GBP") + year_of("USD", size=0.4))
    counts = ["open_deals", "won_deals", "overdue_deals", "overdue_value", "overdue_weighted"]
    table = table.drop(columns=counts)
    return plot.revenue(table)[0]


@picture
def test_picture_of_the_range() -> Figure:
    table = forecast_table(year_of("GBP"))
    for name, share in (("p10", -0.7), ("p50", 0.1), ("p90", 0.8)):
        table[name] = table["expected_value"] + share * table["weighted_value"]
    return plot.fan(table)[0]


def test_bars_stack_won_and_weighted_value_at_their_month() -> None:
    table = forecast_table(
        [
            {"month": "2026-09", "won_value": 500.0, "won_deals": 1},
            {
                "month": "2026-11",
                "won_value": 100.0,
                "weighted_value": 300.0,
                "overdue_weighted": 50.0,
            },
        ]
    )
    _, ax = plot.forecast(table)
    assert bars(ax) == {ordinal("2026-09"): 500.0, ordinal("2026-11"): 400.0}


def test_months_without_deals_keep_their_place() -> None:
    table = forecast_table(
        [{"month": "2026-08", "won_value": 1.0}, {"month": "2026-12", "won_value": 1.0}]
    )
    _, ax = plot.forecast(table)
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "Aug\n2026",
        "Sep",
        "Oct",
        "Nov",
        "Dec",
    ]


def test_groups_are_added_up_without_a_range() -> None:
    table = forecast_table(
        [
            {"month": "2026-11", "weighted_value": 100.0},
            {"month": "2026-11", "weighted_value": 250.0},
        ]
    ).assign(owner=["ann", "bob"], p10=0.0, p90=500.0)
    fig, ax = plot.forecast(table)
    assert bars(ax) == {ordinal("2026-11"): 350.0}
    assert "P10 to P90, if all is as stated" not in legend_of(fig)


def whiskers(ax: Axes) -> int:
    return sum(isinstance(lines, LineCollection) for lines in ax.collections)


def test_where_one_currency_has_groups_no_panel_has_a_range() -> None:
    """The legend is of all panels, so none has what another lacks."""
    rows = [
        {"month": "2026-11", "weighted_value": 100.0, "won_deals": 9},
        {"month": "2026-11", "weighted_value": 250.0},
        {"month": "2026-11", "weighted_value": 70.0, "currency": "EUR"},
    ]
    table = forecast_table(rows).assign(p10=0.0, p90=500.0)
    fig, axes = plot.forecast(table.assign(owner=["ann", "bob", "bob"]))
    assert [whiskers(ax) for ax in axes] == [0, 0]
    assert "P10 to P90, if all is as stated" not in legend_of(fig)
    fig, axes = plot.forecast(table[1:])
    assert [whiskers(ax) > 0 for ax in axes] == [True, True]
    assert "P10 to P90, if all is as stated" in legend_of(fig)


@pytest.mark.parametrize("draw", [plot.forecast, plot.revenue])
def test_a_deal_of_two_tags_is_not_drawn_twice(draw: Any) -> None:
    row = {"month": "2026-11", "weighted_value": 100.0}
    table = forecast_table([row, row]).assign(tag=["new", "renewal"])
    with pytest.raises(ArgumentError, match="pass a table without tag, or the rows of one tag"):
        draw(table)
    _, ax = draw(table[table["tag"] == "new"])
    assert bars(ax) == {ordinal("2026-11"): 100.0}


def legend_of(fig: Figure) -> list[str]:
    return [text.get_text() for legend in fig.legends for text in legend.get_texts()]


def test_overdue_value_is_hatched_and_in_the_legend() -> None:
    row = {"month": "2026-09", "weighted_value": 90.0, "overdue_weighted": 60.0}
    fig, ax = plot.forecast(forecast_table([row]))
    hatched = [bar for container in ax.containers for bar in container if bar.get_hatch()]
    assert [bar.get_height() for bar in hatched] == [60.0]
    assert legend_of(fig) == ["open, weighted", "overdue, weighted", "as-of month (Oct 2026)"]


def test_credit_notes_stack_downwards() -> None:
    row = {"month": "2026-10", "won_value": -200.0, "weighted_value": -100.0}
    _, ax = plot.forecast(forecast_table([row]))
    low = [bar.get_y() + bar.get_height() for container in ax.containers for bar in container]
    assert low == [-200.0, -300.0]
    assert ax.get_ylim()[0] < -300


def test_undated_deals_are_told_below_the_panel() -> None:
    rows = [
        {"month": "2026-10", "won_value": 10.0, "won_deals": 1},
        {"open_deals": 3, "open_value": 12_000.0, "weighted_value": 4_000.0},
        {"won_deals": 1, "won_value": 700.0},
    ]
    _, ax = plot.forecast(forecast_table(rows))
    assert ax.get_xlabel() == (
        "Not in the chart: 3 undated open deals worth £12,000 (weighted £4,000); "
        "1 undated won deal worth £700."
    )


def test_revenue_does_not_count_deals() -> None:
    rows = [{"month": "2026-10", "won_value": 10.0}, {"open_value": 80.0, "weighted_value": 20.0}]
    table = forecast_table(rows).drop(columns=["open_deals", "won_deals"])
    _, ax = plot.revenue(table)
    assert ax.get_xlabel() == "Not in the chart: undated open value of £80 (weighted £20)."


def test_a_currency_of_undated_deals_only_says_so() -> None:
    rows = [
        {"month": "2026-10", "won_value": 10.0, "won_deals": 2},
        {"currency": None, "open_deals": 1, "open_value": 5.0},
    ]
    _, axes = plot.forecast(forecast_table(rows))
    assert [text.get_text() for text in axes[1].texts] == ["no dated deals"]
    assert axes[1].get_title(loc="left") == "no currency"
    assert axes[1].get_xlabel() == (
        "Not in the chart: 1 undated open deal worth 5 (no currency) (weighted 0 (no currency))."
    )


def test_all_undated_deals_still_make_a_chart() -> None:
    _, ax = plot.forecast(forecast_table([{"open_deals": 1, "open_value": 5.0}]))
    assert [text.get_text() for text in ax.texts] == ["no dated deals"]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("keep", ""),
        ("roll", "Overdue deals are moved to the as-of month."),
        ("drop", "Overdue deals are left out."),
    ],
)
def test_the_overdue_policy_is_named(policy: str, words: str) -> None:
    table = forecast_table([{"month": "2026-10", "won_value": 1.0}], overdue=policy)
    _, ax = plot.forecast(table)
    assert ax.get_xlabel() == words


def test_the_overdue_policy_stands_below_all_the_panels_it_is_for() -> None:
    table = forecast_table(year_of("GBP") + year_of("USD"), overdue="drop")
    fig, axes = plot.forecast(table)
    assert [ax.get_xlabel() for ax in axes] == ["", ""]
    (words,) = [text for text in fig.texts if "Overdue" in text.get_text()]
    assert words.get_text() == "Overdue deals are left out."
    fig.canvas.draw()
    lowest = min(ax.get_tightbbox().y0 for ax in axes)
    assert 0 < words.get_window_extent().y0 < words.get_window_extent().y1 < lowest


def test_one_mistyped_year_does_not_squeeze_the_rest() -> None:
    rows = [
        {"month": "2026-01", "won_value": 1.0, "won_deals": 1},
        {"month": "2026-12", "won_value": 2.0, "won_deals": 1},
        {"month": "2206-12", "open_value": 900.0, "open_deals": 1, "weighted_value": 90.0},
    ]
    _, ax = plot.forecast(forecast_table(rows))
    left, right = ax.get_xlim()
    assert right - left < 62
    assert set(bars(ax)) == {ordinal("2026-01"), ordinal("2026-12")}
    assert ax.get_xlabel() == (
        "Not in the chart: 1 open deal after Dec 2030 worth £900 (weighted £90)."
    )


def test_many_years_keep_the_latest_months() -> None:
    months = pd.period_range("2014-01", "2027-06", freq="M")
    rows = [{"month": str(month), "won_value": 1.0, "won_deals": 1} for month in months]
    _, ax = plot.forecast(forecast_table(rows))
    assert len(bars(ax)) == 60
    assert max(bars(ax)) == ordinal("2027-06")
    assert ax.get_xlabel() == "Not in the chart: 102 won deals before Jul 2022 worth £102."


def test_panels_are_ordered_by_deals_with_the_missing_currency_last() -> None:
    rows = [
        {"month": "2026-10", "currency": "EUR", "won_deals": 1, "won_value": 1.0},
        {"month": "2026-10", "currency": None, "won_deals": 9, "won_value": 1.0},
        {"month": "2026-10", "currency": "GBP", "won_deals": 5, "won_value": 1.0},
    ]
    _, axes = plot.forecast(forecast_table(rows))
    assert isinstance(axes, np.ndarray)
    assert [ax.get_title(loc="left") for ax in axes] == ["GBP", "EUR", "no currency"]


def test_the_users_axes_are_drawn_on() -> None:
    table = forecast_table(year_of("GBP") + year_of("USD"))
    fig, given = plt.subplots(1, 2)
    drawn_fig, axes = plot.forecast(table, ax=given)
    assert drawn_fig is fig
    assert list(axes) == list(given)
    assert given[0].get_title(loc="left") == "Forecast by close month, GBP"
    assert given[0].get_legend() is not None


def test_axes_within_a_subfigure_give_the_whole_figure() -> None:
    fig = plt.figure()
    ax = fig.subfigures(1, 2)[0].subplots()
    assert plot.forecast(forecast_table(year_of("GBP")), ax=ax)[0] is fig


@pytest.mark.parametrize("count", [1, 3])
def test_the_wrong_number_of_axes_is_refused(count: int) -> None:
    table = forecast_table(year_of("GBP") + year_of("USD"))
    _, given = plt.subplots(1, count)
    with pytest.raises(ArgumentError, match=f"needs 2 Axes, one a currency, but ax holds {count}"):
        plot.forecast(table, ax=given)


def test_other_tables_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"lacks the column 'won_value'.*forecast\.by_month"):
        plot.forecast(forecast_table(year_of("GBP")).drop(columns="won_value"))
    with pytest.raises(ArgumentError, match="no column of periods"):
        plot.forecast(forecast_table(year_of("GBP")).drop(columns="month"))
    text = forecast_table(year_of("GBP"))
    with pytest.raises(ArgumentError, match="no column of periods"):
        plot.forecast(text.assign(month=text["month"].astype(str)))
    grouped = forecast_table(2 * year_of("GBP")).assign(p10=0.0, p50=1.0, p90=2.0)
    with pytest.raises(ArgumentError, match="ranges do not add up"):
        plot.fan(grouped)


def test_the_users_settings_and_table_are_left_alone() -> None:
    table = forecast_table(year_of("GBP"))
    copy = table.copy(deep=True)
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        before = dict(mpl.rcParams)
        _, ax = plot.forecast(table)
        assert dict(mpl.rcParams) == before
        assert ax.get_facecolor() == (1.0, 1.0, 1.0, 1.0)
    pd.testing.assert_frame_equal(table, copy)


def test_a_fan_marks_the_median_between_p10_and_p90() -> None:
    rows = [{"month": "2026-10", "won_value": 100.0}, {"month": "2026-11"}, {"open_deals": 1}]
    table = forecast_table(rows).assign(
        p10=[100.0, 40.0, 0], p50=[100.0, 60.0, 0], p90=[100, 90, 0]
    )
    _, ax = plot.fan(table)
    spread = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in ax.containers[1]]
    assert spread == [(40.0, 90.0)]
    median = [path.vertices[0][1] for lines in ax.collections for path in lines.get_paths()]
    assert median == [60.0]


def test_a_fan_of_nothing_or_of_no_dates_says_so() -> None:
    table = forecast_table([{"open_deals": 1}]).assign(p10=0.0, p50=1.0, p90=2.0)
    for rows, words in ((table, "no dated deals"), (table[:0], "no deals")):
        _, ax = plot.fan(rows)
        assert [text.get_text() for text in ax.texts] == [words]


def test_worthless_and_negative_totals_have_an_axis_from_zero() -> None:
    nothing = forecast_table([{"month": "2026-10", "open_deals": 1}])
    for draw in (plot.forecast, plot.fan):
        _, ax = draw(nothing.assign(p10=0.0, p50=0.0, p90=0.0))
        assert ax.get_ylim() == (0, 1)
        # An amount of 1 on the axis would be none of the table's.
        assert [tick.get_text() for tick in ax.get_yticklabels()] == ["£0"]
    refunds = forecast_table([{"month": "2026-10", "won_value": -9.0}])
    _, ax = plot.fan(refunds.assign(p10=-9.0, p50=-9.0, p90=-9.0))
    assert ax.get_ylim()[0] < -9


def test_a_table_without_attrs_marks_no_month() -> None:
    table = forecast_table(year_of("GBP"))
    table.attrs = {}
    fig, _ = plot.forecast(table)
    assert legend_of(fig) == ["won", "open, weighted", "overdue, weighted"]
