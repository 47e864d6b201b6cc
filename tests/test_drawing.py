"""Charts drawn beside the command are those drawn in it, whatever becomes of the process."""

from __future__ import annotations

import os
import signal
import warnings
from typing import TYPE_CHECKING

import matplotlib as mpl
import pandas as pd
import pytest

import capsule_analytics as ca
from capsule_analytics import _drawing
from capsule_analytics._drawing import Chart, Drawing
from capsule_analytics.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

mpl.use("agg")


@pytest.fixture
def charts() -> list[Chart]:
    table = ca.forecast.by_month(ca.load_sample())
    pounds = table[table["currency"] == "GBP"]
    return [Chart("forecast", (pounds,), ("png", "svg")), Chart("revenue", (pounds,), ("png",))]


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Drawing]:
    monkeypatch.setattr(_drawing, "_processors", lambda: 2)
    with Drawing(beside=True) as drawing:
        yield drawing


def process(drawing: Drawing) -> int:
    assert drawing._process is not None
    return drawing._process.pid


def gone(pid: int) -> bool:
    """Whether no process is left of a group, not even one that nobody waited for."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


posix = pytest.mark.skipif(os.name != "posix", reason="processes are told otherwise on Windows")


@posix
def test_what_is_drawn_beside_is_what_is_drawn_here(drawing: Drawing, charts: list[Chart]) -> None:
    pid = process(drawing)
    for chart in charts:
        drawing.add(chart)
    beside = drawing.collect()
    assert gone(pid)
    assert [(one.name, [*one.files]) for one in beside] == [
        ("forecast", ["png", "svg"]),
        ("revenue", ["png"]),
    ]
    here = [_drawing.draw(chart) for chart in charts]
    assert [one.files["png"] for one in beside] == [one.files["png"] for one in here]
    assert b"</svg>" in beside[0].files["svg"]


@posix
def test_what_cannot_be_drawn_beside_is_drawn_here(drawing: Drawing, charts: list[Chart]) -> None:
    os.killpg(process(drawing), signal.SIGKILL)
    for chart in charts:
        drawing.add(chart)
    assert [one.name for one in drawing.collect()] == ["forecast", "revenue"]
    assert drawing._process is None


@posix
def test_an_error_is_that_of_the_chart(drawing: Drawing) -> None:
    drawing.add(Chart("forecast", (pd.DataFrame({"month": []}),), ("png",)))
    with pytest.raises(ArgumentError, match="the table lacks the column 'currency'"):
        drawing.collect()


@posix
def test_whoever_is_interrupted_leaves_no_process() -> None:
    drawing = Drawing(beside=True)
    pid = drawing._process and drawing._process.pid
    with pytest.raises(KeyboardInterrupt), drawing:
        raise KeyboardInterrupt
    assert pid is None or gone(pid)


def test_with_one_processor_charts_are_drawn_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_drawing, "_processors", lambda: 1)
    assert Drawing(beside=True)._process is None


def test_what_was_warned_of_is_told_where_the_charts_are_collected(
    charts: list[Chart], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warned(chart: Chart) -> _drawing.Drawn:
        letter = (f"Glyph {ord('x')} (X) missing from font(s) F.", UserWarning, "text.py", 1)
        other = ("something else", FutureWarning, "other.py", 2)
        return _drawing.Drawn(chart.name, {}, (letter, other))

    monkeypatch.setattr(_drawing, "draw", warned)
    drawing = Drawing(beside=False)
    for chart in charts:
        drawing.add(chart)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drawing.collect()
    letters = [one for one in caught if "no installed font has the letters x:" in str(one.message)]
    assert len(letters) == 1
    assert [one.category for one in caught if one not in letters] == [FutureWarning] * 2
