# ruff: noqa: INP001, T201
"""Draw the pictures of the documentation: ``make pictures``.

The charts are drawn by the calls that `gallery.md` shows, the page is photographed in Chromium. For
each picture, ``pictures/drawn.json`` keeps what it was drawn from and a digest of the code that
drew it, by which a test sees that a picture is older than what draws it.

``python docs/draw.py NAME …`` draws some of them.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib import pyplot as plt
from PIL import Image

import capsule_analytics as ca
from capsule_analytics import plot
from capsule_analytics.report import Options, figures_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = Path(__file__).parent
PICTURES = FOLDER / "pictures"
RECORD = PICTURES / "drawn.json"
SOURCES = FOLDER.parent / "capsule_analytics"

_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```$(?:\n\n!\[[^\]]*\]\(pictures/(?P<name>\w+)\.png\))?",
    re.MULTILINE | re.DOTALL,
)
_DPI = 110
_COLORS = 128
_SCREENS = {
    "page": ("", 1280, 1010),
    "page_needs": ("#needs", 1280, 620),
}
"""Pictures of the page: the section, and the width and height of the window."""


def charts(drawn: Callable[[str, plt.Figure], None]) -> dict[str, dict[str, Any]]:
    """Run the blocks of the gallery, and say what each picture is made of.

    Parameters
    ----------
    drawn
        Called with the name and the figure of each picture.
    """
    record: dict[str, dict[str, Any]] = {}
    calls: list[tuple[str, tuple[Any, ...]]] = []
    space: dict[str, Any] = {}
    originals = {name: getattr(plot, name) for name in plot.__all__}

    def watched(name: str) -> Callable[..., Any]:
        def draw(*tables: Any, **options: Any) -> Any:  # noqa: ANN401
            calls.append((name, tables))
            return originals[name](*tables, **options)

        return draw

    try:
        for name in originals:
            setattr(plot, name, watched(name))
        for block in _BLOCK.finditer((FOLDER / "gallery.md").read_text(encoding="utf-8")):
            calls.clear()
            exec(block["code"], space)  # noqa: S102 - our own page
            if block["name"]:
                ((called, tables),) = calls
                record[block["name"]] = {
                    "code": code_digest(originals[called]),
                    "data": [summary(table) for table in tables],
                }
                drawn(block["name"], space["fig"])
            plt.close("all")
    finally:
        for name, function in originals.items():
            setattr(plot, name, function)
    return record


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Tell what is in a table by a number for each column, which no other version changes much.

    Amounts by their sum, days and periods by their mean, text by how many different ones there are.
    """

    def number(column: pd.Series) -> float:
        known = column.dropna()
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            return float(known.astype("float64").sum())
        if isinstance(column.dtype, pd.PeriodDtype):
            return float(pd.PeriodIndex(known).asi8.mean()) if len(known) else 0.0
        if pd.api.types.is_datetime64_any_dtype(column):
            day = pd.Timestamp(0, tz=getattr(column.dt, "tz", None))
            return float(((known - day) / pd.Timedelta(days=1)).mean()) if len(known) else 0.0
        return float(known.map(str).nunique())

    numbers = {str(name): number(table[name]) for name in table.columns}
    return {"rows": float(len(table))} | {name: float(f"{n:.6g}") for name, n in numbers.items()}


def code_digest(function: Callable[..., Any]) -> str:
    """Digest the module of a chart and what it is drawn with, without comments and docstrings."""
    module = function.__module__.rpartition(".")[2]
    return _digest([SOURCES / "_words.py", *_drawn_with(SOURCES / "plot" / f"{module}.py", set())])


def _drawn_with(path: Path, known: set[Path]) -> list[Path]:
    """Find the files of the charts that a file imports, and itself."""
    if path not in known:
        known.add(path)
        for name in re.findall(r"^from \.(_\w+) import", path.read_text("utf-8"), re.MULTILINE):
            _drawn_with(path.with_name(f"{name}.py"), known)
    return sorted(known)


def _digest(paths: list[Path]) -> str:
    lines = [line for path in paths for line in _code(path)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _code(path: Path) -> Iterator[str]:
    """Give the lines that do something: of Python without comments, docstrings and empty lines."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    said: set[int] = set()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                said.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    for number, line in enumerate(lines, start=1):
        bare = line.strip()
        if bare and number not in said and not (path.suffix == ".py" and bare.startswith("#")):
            yield bare


def page() -> tuple[Any, dict[str, Any]]:
    """Make the figures that the pictures of the page show, and say what they are made of."""
    *earlier, before, after = ca.history.sample_history()
    figures = figures_of(
        after,
        Options(
            html=True,
            formats=(),
            changes=ca.history.changes(before, after),
            changed_deals=ca.history.changed_deals(before, after),
            snapshots=(*earlier, before),
            before=before,
            web="https://tarn.capsulecrm.com",
        ),
    )
    report = SOURCES / "report"
    paths = [SOURCES / "_words.py", *sorted(report.glob("_page*.py"))]
    data = [figures.projected, figures.forecast, figures.needs.drop(columns="reason")]
    return figures, {
        "code": _digest([*paths, *sorted((report / "templates").iterdir())]),
        "data": [summary(table) for table in data],
    }


def photograph(figures: Any, wanted: set[str]) -> list[str]:  # noqa: ANN401
    """Take the pictures of the page; say so where there is no browser."""
    from capsule_analytics.report._page import write_html  # noqa: PLC0415 - the page alone

    browser = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        print("Left as they were, without Chromium and chromedriver on the PATH:", *wanted)
        return []
    from selenium import webdriver  # noqa: PLC0415 - only where the browser is

    chosen = webdriver.ChromeOptions()
    chosen.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        chosen.add_argument(argument)
    taken = []
    with (
        tempfile.TemporaryDirectory() as folder,
        webdriver.Chrome(options=chosen, service=webdriver.ChromeService(driver)) as window,
    ):
        path = Path(folder) / "report.html"
        write_html(figures, path)
        for name, (place, width, height) in _SCREENS.items():
            if name not in wanted:
                continue
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            window.get("about:blank")
            window.get(f"{path.as_uri()}{place}")
            save(name, window.get_screenshot_as_png())
            taken.append(name)
    return taken


def save(name: str, picture: bytes) -> None:
    """Write a picture with few colours, which a chart needs no more of."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    small = image.quantize(_COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(PICTURES / f"{name}.png", optimize=True)
    print(f"{name}.png: {(PICTURES / f'{name}.png').stat().st_size / 1024:,.0f} KB")


def main(names: list[str]) -> None:
    """Draw the pictures that are named, or all, and keep what they were drawn from."""
    mpl.use("agg")
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    screens = {name for name in _SCREENS if not names or name in names}

    def drawn(name: str, figure: plt.Figure) -> None:
        if not names or name in names:
            picture = io.BytesIO()
            figure.savefig(picture, format="png", dpi=_DPI)
            save(name, picture.getvalue())

    if not names or set(names) - screens:
        fresh = charts(drawn)
        record |= {name: made for name, made in fresh.items() if not names or name in names}
    if screens:
        figures, made = page()
        record |= dict.fromkeys(photograph(figures, screens), made)
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
