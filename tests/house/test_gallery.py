"""The pictures of the documentation: all are there, small, and as new as what draws them."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from capsule_analytics import plot

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RENEW = "run `make pictures`, and look at what it drew"
KILOBYTE = 1024


def _drawer() -> Any:
    spec = importlib.util.spec_from_file_location("draw", DOCS / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DRAW = _drawer()
RECORD: dict[str, dict[str, Any]] = json.loads(DRAW.RECORD.read_text(encoding="utf-8"))


def assert_as_recorded(name: str, fresh: dict[str, Any]) -> None:
    """Compare with a tolerance: other versions of what fits a model differ by less."""
    held = RECORD[name]
    assert held["code"] == fresh["code"], f"{name}: its code has changed; {RENEW}"
    assert len(held["data"]) == len(fresh["data"])
    for before, now in zip(held["data"], fresh["data"], strict=True):
        assert now == pytest.approx(before, rel=0.01, abs=0.01), f"{name}: other data; {RENEW}"


@pytest.mark.usefixtures("fitted_once")
def test_the_gallery_runs_and_its_pictures_are_not_older_than_what_draws_them() -> None:
    drawn: list[str] = []
    fresh = DRAW.charts(lambda name, _: drawn.append(name))
    assert sorted(drawn) == sorted(plot.__all__), "every chart stands in the gallery once"
    for name, made in fresh.items():
        assert_as_recorded(name, made)


@pytest.mark.usefixtures("fitted_once")
def test_the_pictures_of_the_page_are_not_older_than_what_draws_them() -> None:
    _, fresh = DRAW.page()
    for name in ("page", "page_needs"):
        assert_as_recorded(name, fresh)


def test_every_picture_is_small_recorded_and_shown() -> None:
    pictures = {path.stem: path for path in DRAW.PICTURES.glob("*.png")}
    assert set(pictures) == set(RECORD) == {*plot.__all__, "page", "page_needs"}
    sizes = {name: path.stat().st_size for name, path in pictures.items()}
    assert max(sizes.values()) <= 150 * KILOBYTE
    assert sum(sizes.values()) <= 1024 * KILOBYTE
    pages = [ROOT / "README.md", *DOCS.glob("*.md")]
    shown = {
        name
        for page in pages
        for name in re.findall(r"pictures/(\w+)\.png", page.read_text(encoding="utf-8"))
    }
    assert shown == set(pictures)
    for path in pictures.values():
        with Image.open(path) as image:
            assert image.width >= 600


def test_a_table_is_told_by_numbers_that_do_not_depend_on_versions() -> None:
    table = pd.DataFrame(
        {
            "month": pd.PeriodIndex(["2026-10", "2026-11", None], freq="M"),
            "closes": pd.to_datetime(["2026-10-01", "2026-10-03", None], utc=True),
            "currency": pd.Categorical(["GBP", "GBP", None]),
            "deals": pd.array([1, 2, None], dtype="Int64"),
            "value": [1.25, float("nan"), 2.0],
            "inside": [True, False, True],
        }
    )
    assert DRAW.summary(table) == {
        "rows": 3, "month": 681.5, "closes": 20728, "currency": 1, "deals": 3, "value": 3.25,
        "inside": 2,
    }  # fmt: skip


def test_code_counts_and_comments_do_not(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        path = tmp_path / "chart.py"
        path.write_text(text, encoding="utf-8")
        return str(DRAW._digest([path]))

    plain = digest("def draw():\n    return 1\n")
    assert (
        digest('"""Charts."""\n\ndef draw():\n    """Draw."""\n    # Why.\n    return 1\n') == plain
    )
    assert digest("def draw():\n    return 2\n") != plain


def test_a_chart_is_drawn_with_what_its_module_imports() -> None:
    names = {path.stem for path in DRAW._drawn_with(DRAW.SOURCES / "plot" / "_changes.py", set())}
    assert {"_changes", "_panels", "_columns", "_style"} <= names
    assert not names & {"_projection", "_timeline"}


def test_without_a_browser_the_pictures_of_the_page_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert DRAW.photograph(None, {"page"}) == []
    assert "without Chromium and chromedriver" in capsys.readouterr().out
