"""Charts of what will probably be won, of past projections, and of the chances of deals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

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
ABOUT = {"account": "Acme Ltd", "as_of": "2026-10-15"}


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def months(first: str, count: int) -> pd.PeriodIndex:
    return pd.period_range(first, periods=count, freq="M")


def coming(currency: str | None = "GBP", count: int = 6, size: float = 1e5) -> pd.DataFrame:
    """The first month has brought 40, open deals fade, new business grows, the range widens."""
    n = pd.Series(range(count), dtype="float64")
    won = size * (0.4 * (n == 0))
    open_, new = size / (1 + n / 2), size * n / 4
    table = pd.DataFrame(
        {
            "month": months("2026-10", count),
            "currency": pd.array([currency] * count, dtype="string[python]"),
            "won_value": won,
            "open_value": open_,
            "new_value": new,
            "expected_value": won + open_ + new,
            "p10": won + 0.4 * (open_ + new),
            "p50": won + 0.9 * (open_ + new),
            "p90": won + 1.8 * (open_ + new),
        }
    )
    table.attrs = ABOUT
    return table


def past(currency: str | None = "GBP", count: int = 30, size: float = 1e5) -> pd.DataFrame:
    n = pd.Series(range(count))
    table = pd.DataFrame(
        {"month": months("2024-04", count), "won_value": size * (0.5 + (n * 7 % 10) / 10)}
    )
    return table.assign(currency=pd.array([currency] * count, dtype="string[python]"))


def record(currency: str | None = "GBP", count: int = 12, size: float = 1e5) -> pd.DataFrame:
    n = pd.Series(range(count), dtype="float64")
    low, high = size * (0.3 + n / 20), size * (1.5 + n / 20)
    came = size * (0.6 + (n * 7 % 10) / 8)
    table = pd.DataFrame(
        {
            "month": months("2025-10", count),
            "currency": pd.array([currency] * count, dtype="string[python]"),
            "expected_value": (low + high) / 2,
            "p10": low,
            "p50": low + 0.4 * (high - low),
            "p90": high,
            "actual_value": came,
            "inside": came.between(low, high),
        }
    )
    table.attrs = ABOUT
    return table


def chances() -> pd.DataFrame:
    rows = [
        (7, "Roll-out", "GBP", 90e3, 0.05, 0.2, 0.5),
        (3, "A name that is much too long for a chart of chances", "GBP", 60e3, 0.4, 0.7, 0.85),
        (9, None, "GBP", 20e3, 0.0, 0.0, 0.02),
        (4, "Licence", "GBP", 5e3, 0.9, 0.95, 0.99),
        (5, "Audit", None, None, 0.1, 0.3, 0.4),
    ]
    names = ["id", "name", "currency", "tcv"]
    names += ["won_this_month", "won_this_quarter", "won_within_year"]
    table = pd.DataFrame(rows, columns=names).set_index("id")
    table["likely_month"] = months("2026-10", 5)
    table.attrs = ABOUT
    return table


FOUR = ("GBP", "EUR", "JPY", None)
SIZES = (1e5, 3e4, 5e6, 1e3)


def all_of(make: Any) -> pd.DataFrame:
    table = pd.concat(
        [make(code, size=size) for code, size in zip(FOUR, SIZES, strict=True)], ignore_index=True
    )
    table.attrs = ABOUT
    return table


@picture
def test_picture_of_the_projection() -> Figure:
    return plot.projection(coming(), past())[0]


@picture
def test_picture_of_the_projection_in_four_currencies() -> Figure:
    return plot.projection(all_of(coming), all_of(past))[0]


@picture
def test_picture_of_a_single_projected_month() -> Figure:
    return plot.projection(coming(count=1))[0]


@picture
def test_picture_of_the_track_record() -> Figure:
    return plot.track_record(record())[0]


@picture
def test_picture_of_the_chances_of_deals() -> Figure:
    return plot.deal_chances(chances())[0]


def words(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def legend(fig: Figure) -> list[str]:
    return [text.get_text() for text in fig.legends[0].get_texts()]


def tops(ax: Axes) -> dict[int, float]:
    """How high the stacks reach, by period."""
    found: dict[int, float] = {}
    for bar in ax.patches:
        at = round(bar.get_x() + bar.get_width() / 2)
        found[at] = max(found.get(at, 0.0), bar.get_y() + bar.get_height())
    return found


def test_bars_are_what_was_won_and_what_is_expected() -> None:
    _, ax = plot.projection(coming(), past())
    reached = tops(ax)
    first = pd.Period("2026-10", "M").ordinal
    assert list(reached) == list(range(first - 24, first + 6))
    assert reached[first - 1] == past()["won_value"].iloc[-1]
    expected = coming()["expected_value"]
    assert [reached[first + n] for n in range(6)] == pytest.approx(expected.tolist())
    assert ax.get_title(loc="right") == "Oct 2026: £140K expected, £80K to £220K"


def test_what_the_month_has_brought_is_dark_and_the_past_is_not_counted_twice() -> None:
    """The as-of month stands in both tables; only the projection's bar is drawn."""
    both = pd.concat([past(), coming()[:1]])
    _, ax = plot.projection(coming(), both)
    first = pd.Period("2026-10", "M").ordinal
    assert tops(ax)[first] == pytest.approx(140e3)


def test_parts_are_added_up_and_have_no_range() -> None:
    parts = pd.concat([coming().assign(owner="ann"), coming().assign(owner="bob")])
    fig, ax = plot.projection(parts, past())
    assert tops(ax)[pd.Period("2026-10", "M").ordinal] == pytest.approx(280e3)
    assert "P10 to P90, and P50" not in legend(fig)
    assert ax.get_title(loc="right") == "Oct 2026: £280K"


def test_a_currency_that_is_not_projected_has_no_panel() -> None:
    fig, _ = plot.projection(coming(), all_of(past))
    assert len(fig.axes) == 1


def test_long_projections_leave_room_for_fewer_past_months() -> None:
    _, ax = plot.projection(coming(count=48), past())
    first = pd.Period("2026-10", "M").ordinal
    assert (min(tops(ax)), max(tops(ax))) == (first - 12, first + 47)


def test_quarters_take_quarters() -> None:
    table = coming(count=2)
    table.insert(0, "quarter", pd.period_range("2026Q4", periods=2, freq="Q-DEC"))
    table = table.drop(columns="month")
    fig, _ = plot.projection(table)
    assert fig.get_suptitle() == "What will probably be won by quarter"
    with pytest.raises(ArgumentError, match="by the same quarter"):
        plot.projection(table, past())


def test_nothing_won_and_nothing_to_come_is_drawn_as_nothing() -> None:
    columns = ["won_value", "open_value", "new_value", "expected_value", "p10", "p50", "p90"]
    fig, ax = plot.projection(coming().assign(**dict.fromkeys(columns, 0.0)))
    fig.canvas.draw()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["£0"]
    assert ax.get_title(loc="right") == "Oct 2026: £0 expected, £0 to £0"


def test_huge_ranges_stay_in_the_panel() -> None:
    table = coming()
    _, ax = plot.projection(table.assign(p90=table["p90"] * 1e6))
    assert ax.get_ylim()[1] > table["p90"].max() * 1e6


@pytest.mark.parametrize(
    ("draw", "table", "said"),
    [
        (plot.projection, coming(), "no deals"),
        (plot.track_record, record(), "too few months to tell"),
        (plot.deal_chances, chances(), "no open deals"),
    ],
)
def test_nothing_to_draw_is_said_in_words(draw: Any, table: pd.DataFrame, said: str) -> None:
    _, ax = draw(table[:0])
    assert words(ax) == [said]


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (plot.projection, coming()),
        (plot.track_record, record()),
        (plot.deal_chances, chances().drop(columns="name")),
    ],
)
def test_tables_of_other_shape_are_refused(draw: Any, table: pd.DataFrame) -> None:
    with pytest.raises(ArgumentError, match="lacks the column"):
        draw(table.iloc[:, :2])


def test_the_track_record_says_how_many_were_inside() -> None:
    table = record()
    fig, ax = plot.track_record(table)
    assert table["inside"].sum() == 11
    assert ax.get_title(loc="right") == "the last 12 months: 11 inside the range"
    assert legend(fig)[2:] == ["won, inside the range", "won, outside the range"]
    inside, outside = [line for line in ax.lines if line.get_linestyle() == "None"]
    assert len(inside.get_xdata()) == 11
    assert outside.get_ydata().tolist() == table.loc[~table["inside"], "actual_value"].tolist()


def test_a_short_track_record_does_not_boast() -> None:
    fig, ax = plot.track_record(record(count=3))
    assert ax.get_title(loc="right") == "too few months to tell"
    assert "won, outside the range" not in legend(fig)


def test_deals_that_bring_most_come_first() -> None:
    _, axes = plot.deal_chances(chances(), top=2)
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    assert names == ["A name that is much too long …", "Roll-out"]
    assert words(axes[0])[0] == "85% of £60K, likeliest in Nov 2026"
    assert axes[0].get_title(loc="right") == "2 of 4 open deals"
    assert words(axes[1]) == ["40%, value unknown, likeliest in Feb 2027"]


def test_a_deal_without_a_name_is_called_by_its_id() -> None:
    _, axes = plot.deal_chances(chances())
    assert "deal 9" in [label.get_text() for label in axes[0].get_yticklabels()]


def test_chances_of_longer_periods_lie_beyond_those_of_shorter_ones() -> None:
    _, axes = plot.deal_chances(chances(), top=1)
    ends = [bar.get_x() + bar.get_width() for bar in axes[0].patches]
    assert ends == pytest.approx([0.4, 0.7, 0.85])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.projection(coming(), months=-1), "months must be 0 or more"),
        (lambda: plot.deal_chances(chances(), top=0), "top must be 1 or more"),
    ],
)
def test_invalid_options(call: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call()
