"""The other charts: targets, changes, milestones, ageing, reliability, slippage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from deals import deals
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule_analytics import plot
from capsule_analytics.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from capsule_analytics.schema import Pipeline

mpl.use("agg")
pytest.importorskip("babel")

picture = pytest.mark.mpl_image_compare(
    baseline_dir="pictures", tolerance=4, style="default", savefig_kwargs={"dpi": 60}
)


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def target_table() -> pd.DataFrame:
    rows = [
        ("2026 Q1", "GBP", 900e3, 945e3, 945e3, 1.05, 1.0),
        ("2026 Q2", "GBP", 950e3, 520e3, 560e3, 0.547, 0.0),
        ("2026 Q3", "GBP", 1e6, 670e3, 890e3, 0.67, 0.2),
        ("2026 Q3", "EUR", None, 20e3, 90e3, None, None),
    ]
    names = ["period", "currency", "target", "won_value", "expected_value", "attainment", "chance"]
    table = pd.DataFrame(rows, columns=names)
    table.attrs = {"account": "Acme Ltd", "as_of": "2026-10-15"}
    return table


def bridge() -> pd.DataFrame:
    """Two currencies; 500 + 120 + 30 - 80 - 90 = 480, and 70 - 20 = 50."""
    rows = [
        ("GBP", "opening", 20, 500e3),
        ("GBP", "new", 5, 120e3),
        ("GBP", "reopened", 0, 0.0),
        ("GBP", "value_up", 2, 30e3),
        ("GBP", "won", 3, -80e3),
        ("GBP", "lost", 4, -90e3),
        ("GBP", "closing", 18, 480e3),
        (None, "opening", 2, 70e3),
        (None, "lost", 1, -20e3),
        (None, "closing", 1, 50e3),
    ]
    table = pd.DataFrame(rows, columns=["currency", "part", "deals", "value"])
    table.attrs = {"account": "Acme Ltd", "before": "2026-08-31", "after": "2026-09-30"}
    return table


def account() -> Pipeline:
    """Six open deals in two currencies, a won one and one at a milestone that nobody set up."""
    day = "2026-10-{:02}T09:30:00Z".format
    return deals(
        [
            {"value": 40_000, "milestone": "Lead", "created_at": day(1)},
            {"value": 60_000, "milestone": "Proposal", "created_at": "2026-06-01T08:00:00Z"},
            {"value": 20_000, "milestone": "Proposal", "created_at": "2025-10-15T08:00:00Z"},
            {"value": 30_000, "milestone": "Contract", "created_at": "2026-06-02T08:00:00Z"},
            {"value": 9_000, "milestone": "Scoping", "probability": 20, "created_at": day(2)},
            {"value": 5_000, "milestone": "Lead", "currency": "USD", "created_at": day(3)},
            {"value": 99_000, "milestone": "Won", "created_at": day(3)},
        ]
    )


def reliability_table() -> pd.DataFrame:
    rows = [
        (0.0, 0.1, 0, None, None, None, None),
        (0.1, 0.2, 120, 0.12, 0.07, 0.04, 0.11),
        (0.4, 0.5, 60, 0.45, 0.30, 0.22, 0.39),
        (0.8, 0.9, 30, 0.88, 0.83, 0.73, 0.91),
    ]
    names = ["bin_low", "bin_high", "deals", "stated", "won_rate", "low", "high"]
    return pd.DataFrame(rows, columns=names)


def slippage_table() -> pd.DataFrame:
    rows = [("ann", 33, 30, 41.2), ("bob", 80, 12, 3.0), (None, 2, 0, None), ("eve", 9, 4, 14.4)]
    return pd.DataFrame(rows, columns=["owner", "deals", "pushed", "mean_days"])


DRAWINGS = {
    "targets": (plot.targets, target_table),
    "changes": (plot.changes, bridge),
    "milestones": (plot.milestones, account),
    "ageing": (plot.ageing, account),
    "reliability": (plot.reliability, reliability_table),
    "slippage": (plot.slippage, slippage_table),
}


@picture
@pytest.mark.parametrize("name", sorted(DRAWINGS))
def test_picture(name: str) -> Figure:
    draw, data = DRAWINGS[name]
    return draw(data())[0]


@pytest.mark.parametrize("name", sorted(DRAWINGS))
def test_nothing_to_draw_is_said_in_words(name: str) -> None:
    draw, data = DRAWINGS[name]
    full: Any = data()
    nothing = deals([]) if name in {"milestones", "ageing"} else full[:0]
    _, ax = draw(nothing)
    words = "no targets" if name == "targets" else "no deals"
    assert [text.get_text() for text in ax.texts] == [words]


@picture
def test_picture_of_nothing() -> Figure:
    return plot.changes(bridge()[:0])[0]


@pytest.mark.parametrize("name", ["targets", "changes", "reliability", "slippage"])
def test_tables_of_other_shape_are_refused(name: str) -> None:
    draw, data = DRAWINGS[name]
    table: Any = data()
    with pytest.raises(ArgumentError, match="lacks the column"):
        draw(table.iloc[:, :2])


def words(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def row_names(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def test_targets_say_how_far_and_how_sure() -> None:
    _, axes = plot.targets(target_table())
    assert [ax.get_title(loc="left") for ax in axes] == ["GBP", "EUR"]
    assert words(axes[0])[1] == "target £950K, won 55%, chance 0%"
    assert words(axes[1]) == ["no target"]


def test_targets_of_owners_name_them() -> None:
    table = target_table()[:2].assign(owner=["Ann $ Smith $", None])
    _, ax = plot.targets(table)
    assert row_names(ax) == ["Ann $ Smith $, 2026 Q1", "whole team, 2026 Q2"]


def test_targets_of_the_team_alone_name_no_one() -> None:
    _, ax = plot.targets(target_table()[:2].assign(owner=None))
    assert row_names(ax) == ["2026 Q1", "2026 Q2"]


def test_a_currency_of_team_targets_names_the_team_beside_those_of_owners() -> None:
    _, axes = plot.targets(target_table()[2:].assign(owner=["Ann", None]))
    assert [row_names(ax) for ax in axes] == [["whole team, 2026 Q3"], ["Ann, 2026 Q3"]]


def test_targets_of_deals_have_a_panel_without_money() -> None:
    """Also those of the deals of one currency, which is named beside them."""
    counts = {"target": 12.0, "won_value": 3.0, "expected_value": 5.5, "attainment": 0.25}
    table = target_table()[:3].assign(
        measure=["value", "deals", "deals"], pipeline=[None, "Sales", None]
    )
    for name, value in counts.items():
        table.loc[table["measure"] == "deals", name] = value
    table["currency"] = ["GBP", None, "EUR"]
    _, axes = plot.targets(table)
    assert [ax.get_title(loc="left") for ax in axes] == ["GBP", "number of deals"]
    assert row_names(axes[0]) == ["2026 Q1"]
    assert row_names(axes[1]) == ["Sales, 2026 Q2", "2026 Q3, EUR"]
    assert all(text.startswith("target 12, won 25%") for text in words(axes[1]))
    _, only = plot.targets(table[1:])
    assert only.get_title(loc="left") == "number of deals"


def test_no_share_is_rounded_to_nothing_or_all() -> None:
    table = target_table()[:1].assign(attainment=0.9975, chance=0.005)
    _, ax = plot.targets(table)
    assert words(ax) == ["target £900K, won >99%, chance <1%"]


def ticks(ax: Axes, axis: str) -> list[str]:
    """The ticks that are seen, as they are written."""
    ax.figure.canvas.draw()
    which = ax.xaxis if axis == "x" else ax.yaxis
    low, high = sorted(which.get_view_interval())
    shown = [tick for tick in which.get_major_ticks() if low <= tick.get_loc() <= high]
    return [tick.label1.get_text() for tick in shown]


def test_beside_a_target_of_nothing_stands_no_amount() -> None:
    table = target_table()[:1].assign(target=0.0, won_value=0.0, expected_value=0.0)
    _, ax = plot.targets(table)
    assert ticks(ax, "x") == ["£0"]
    _, ax = plot.targets(target_table()[:1].assign(target=0.0))
    assert ticks(ax, "x")[:2] == ["£0", "£200K"]


@pytest.mark.parametrize(("draw", "axis"), [(plot.milestones, "x"), (plot.ageing, "y")])
def test_deals_of_no_value_make_no_axis_of_amounts(draw: Any, axis: str) -> None:
    _, ax = draw(deals([{"value": 0, "created_at": "2026-10-01T00:00:00Z"}]))
    assert ticks(ax, axis) == ["£0"]


def test_a_bridge_of_no_value_makes_no_axis_of_amounts() -> None:
    _, ax = plot.changes(bridge_of(0.0))
    assert ticks(ax, "y") == ["£0"]


def test_the_bridge_floats_from_opening_to_closing() -> None:
    _, axes = plot.changes(bridge())
    spans = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in axes[0].patches]
    assert spans == [
        (0, 500e3),
        (500e3, 620e3),
        (620e3, 650e3),
        (650e3, 570e3),
        (570e3, 480e3),
        (0, 480e3),
    ]
    assert words(axes[0])[3] == "-£80K\n3 deals"


def bridge_of(*values: float) -> pd.DataFrame:
    """An opening, one part a move, and the closing that they lead to; one currency."""
    opening, *moves = values
    parts = ["opening", "new", "value_up", "lost", "deleted"][: len(values)]
    return pd.DataFrame(
        {
            "currency": "GBP",
            "part": [*parts, "closing"],
            "deals": 1,
            "value": [opening, *moves, sum(values)],
        }
    )


def legend(fig: Figure) -> list[str]:
    return [text.get_text() for text in fig.legends[0].get_texts()]


def test_small_changes_are_drawn_large_and_the_totals_torn() -> None:
    """Of 1,000 to 1,040 on an axis from 0, the changes would be 4 % of the panel."""
    fig, ax = plot.changes(bridge_of(1000.0, 40.0, -10.0))
    low, high = ax.get_ylim()
    assert low == pytest.approx(0.8 * 1040)
    assert 40 / (high - low) > 0.15
    assert legend(fig)[0] == "open pipeline (torn: not from 0)"
    tears = [line for line in ax.lines if line.get_color() == "white"]
    assert [round(float(line.get_xdata().mean())) for line in tears] == [0, 3]


@pytest.mark.parametrize(
    "values",
    [(1000.0, 1500.0), (1000.0, 0.0, 0.0, -600.0), (1000.0,), (0.0, 10.0), (-50.0, 20.0), (0.0,)],
)
def test_the_axis_begins_at_zero_where_that_shows_the_changes(values: tuple[float, ...]) -> None:
    fig, ax = plot.changes(bridge_of(*values))
    assert ax.get_ylim()[0] <= 0
    assert legend(fig)[0] == "open pipeline"


def test_a_bridge_without_its_opening_is_not_cut() -> None:
    _, ax = plot.changes(bridge_of(1000.0, 40.0)[1:])
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylim()[1] > 1040


def test_the_thinnest_change_is_seen_in_its_colour() -> None:
    _, ax = plot.changes(bridge_of(1000.0, 900.0, 1.0, -2.0))
    lines = [lines for lines in ax.collections if lines.get_linewidth()[0] == 2]
    middles = [line.get_segments()[0][0][1] for line in lines]
    assert middles == [1900.5, 1900.0]
    assert [mpl.colors.to_hex(line.get_color()[0]) for line in lines] == ["#7cc4ee", "#a84300"]


@given(
    opening=st.floats(1.0, 10.0),
    share=st.floats(1e-6, 2.0),
    unit=st.sampled_from([1.0, 1e3, 1e6, 1e9]),
)
@settings(max_examples=30, deadline=None)
def test_the_ticks_say_what_they_stand_at(opening: float, share: float, unit: float) -> None:
    """However far the axis is cut, no tick is rounded."""
    fig, ax = plot.changes(bridge_of(opening * unit, share * opening * unit))
    fig.canvas.draw()
    low, high = ax.get_ylim()
    suffixes = {"K": 1e3, "M": 1e6, "B": 1e9}
    shown = [(tick.get_loc(), tick.label1.get_text()) for tick in ax.yaxis.get_major_ticks()]
    shown = [(at, text[1:]) for at, text in shown if low <= at <= high]
    assert len(shown) > 1
    for at, text in shown:
        assert float(text.rstrip("KMB")) * suffixes.get(text[-1], 1.0) == pytest.approx(at)
    plt.close(fig)


def test_a_bridge_of_a_closing_period_names_it() -> None:
    table = bridge()
    table.attrs["period"] = ["2026-10-01", "2026-12-31"]
    fig, _ = plot.changes(table)
    assert fig.get_suptitle() == "Changes of the pipeline to close 1 Oct 2026 to 31 Dec 2026"


def test_a_bridge_without_attrs_can_be_drawn() -> None:
    table = bridge()[:7]
    table.attrs = {}
    fig, _ = plot.changes(table)
    assert fig.get_suptitle() == "Changes of the open pipeline"


def test_milestones_of_several_pipelines_name_theirs() -> None:
    both = account()
    extra = both.milestones.iloc[[0]].assign(pipeline="Renewals")
    milestones = pd.concat([both.milestones, extra])
    _, axes = plot.milestones(replace(both, milestones=milestones))
    assert "Renewals: Lead" in row_names(axes[0])


def test_credit_notes_among_open_deals_stack_downwards() -> None:
    rows = [{"value": -500, "created_at": "2026-10-01T00:00:00Z"}, {"value": -300}]
    _, ax = plot.ageing(deals(rows))
    assert ax.get_ylim()[0] < -500
    assert ax.get_ylim()[1] > 0
    _, ax = plot.milestones(deals(rows))
    assert words(ax) == ["", "2 deals, -£800", ""]


def test_parts_without_a_deal_are_left_out() -> None:
    _, axes = plot.changes(bridge())
    names = [label.get_text() for label in axes[1].get_xticklabels()]
    assert names == ["opening", "new", "value\nup", "won", "lost", "closing"]
    assert words(axes[1]) == ["70K\n2 deals", "-20K\n1 deal", "50K\n1 deal"]


def test_milestones_stand_in_order_with_unknown_ones_last() -> None:
    _, axes = plot.milestones(account())
    assert row_names(axes[0]) == ["Lead", "Proposal", "Contract", "Scoping"]
    assert words(axes[0]) == [
        "1 deal, £40K",
        "2 deals, £80K",
        "1 deal, £30K",
        "1 deal, £9K",
    ]
    weighted = [bar.get_width() for bar in axes[0].containers[1]]
    assert weighted == pytest.approx([4_000, 40_000, 27_000, 1_800])


def test_milestones_take_the_probabilities_of_the_forecast() -> None:
    """The second deal is likelier than stated; the others, without another one, keep theirs."""
    likelier = pd.Series({2: 0.75})
    _, axes = plot.milestones(account(), probability=likelier)
    weighted = [bar.get_width() for bar in axes[0].containers[1]]
    assert weighted == pytest.approx([4_000, 0.75 * 60_000 + 10_000, 27_000, 1_800])
    calibrated = account()
    deals = calibrated.opportunities.assign(calibrated=0.5)
    _, axes = plot.milestones(replace(calibrated, opportunities=deals), probability="calibrated")
    assert [bar.get_width() for bar in axes[0].containers[1]] == [20e3, 40e3, 15e3, 4_500]
    with pytest.raises(ArgumentError, match="no calibrated probabilities"):
        plot.milestones(account(), probability="calibrated")


def test_ages_are_counted_to_the_as_of_day() -> None:
    """As of 15 October 2026: 14, 136, 365, 135 and 13 days in pounds."""
    _, axes = plot.ageing(account())
    assert words(axes[0]) == ["£49K\n2 deals", "£90K\n2 deals", "£20K\n1 deal"]


def test_deals_of_unknown_age_are_told_in_a_note() -> None:
    _, ax = plot.ageing(
        deals([{"value": 1000, "created_at": "2026-10-01T00:00:00Z"}, {"value": 5}])
    )
    assert ax.get_xlabel() == "Not in the chart: 1 without a creation date."
    _, ax = plot.ageing(deals([{"value": 5}]))
    assert words(ax) == ["no creation dates"]


def test_reliability_leaves_out_empty_bins() -> None:
    _, ax = plot.reliability(reliability_table())
    assert words(ax) == ["120", "60", "30"]


def test_slippage_has_the_longest_delay_at_the_top() -> None:
    _, ax = plot.slippage(slippage_table())
    assert row_names(ax) == ["ann", "eve", "bob", "no owner"]
    assert words(ax) == [
        "41 days, 30 of 33 deals pushed",
        "14 days, 4 of 9 deals pushed",
        "3 days, 12 of 80 deals pushed",
        "0 of 2 deals pushed",
    ]


def test_a_single_panel_refuses_two_axes() -> None:
    _, given = plt.subplots(1, 2)
    with pytest.raises(ArgumentError, match="needs one Axes, but ax holds 2"):
        plot.slippage(slippage_table(), ax=given)
