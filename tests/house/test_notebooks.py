"""The notebooks run from top to bottom, offline and without a warning, and tell what they say."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import capsule_analytics as ca

FOLDER = Path(__file__).parents[2] / "notebooks"

NAMES = ("01_quickstart", "02_forecasting", "03_history", "04_projection")

# What stands before the first, and before each: no name of another, and a folder of its own.
STRICT = """
import ipaddress, sys, warnings

warnings.simplefilter("error")

def _stay_at_home(event, args, read=ipaddress.ip_address):
    if event == "socket.connect" and isinstance(args[1], tuple):
        assert read(args[1][0]).is_loopback, args[1]

sys.addaudithook(_stay_at_home)
"""
ALONE = """
%reset -f
%cd -q {}
"""


def read(name: str) -> Any:
    import nbformat  # noqa: PLC0415 - takes seconds, and every worker collects this file

    return nbformat.read(FOLDER / name, as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run all notebooks one after the other; an error in a cell is an error here.

    One kernel imports once what all of them import, and reads the sample account once.
    """
    import nbformat  # noqa: PLC0415 - as above
    from nbclient import NotebookClient  # noqa: PLC0415

    notebooks = {name: read(f"{name}.ipynb") for name in NAMES}
    cells = [nbformat.v4.new_code_cell(STRICT)]
    folders = []
    for name, notebook in notebooks.items():
        for cell in notebook.cells:
            cell.id = f"{name}-{cell.id}"
        folders.append(tmp_path_factory.mktemp(name))
        cells += [nbformat.v4.new_code_cell(ALONE.format(folders[-1])), *notebook.cells]
    together = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(together, timeout=120, kernel_name="python3").execute()
    assert not [path for folder in folders for path in folder.iterdir()]
    return notebooks


def last_value(notebook: Any) -> Any:
    return ast.literal_eval(notebook.cells[-1].outputs[-1]["data"]["text/plain"])


def figures(notebook: Any) -> tuple[int, int]:
    """Count the charts that the cells draw, and the pictures that came out."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    pictures = [out for cell in code for out in cell.outputs if "image/png" in out.get("data", {})]
    return sum(cell.source.count("ca.plot.") for cell in code), len(pictures)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_is_stored_without_what_a_run_left(path: Path) -> None:
    notebook = read(path.name)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_every_notebook_is_run_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NAMES)


def test_quick_start_gives_the_same_forecast_from_a_file_and_over_the_network(
    executed: dict[str, Any],
) -> None:
    notebook = executed["01_quickstart"]
    assert last_value(notebook) == {"deals": 602, "findings": 250, "same_forecast": True}
    assert figures(notebook) == (2, 2)


def test_forecasting_ends_with_figures_that_agree_with_each_other(executed: dict[str, Any]) -> None:
    notebook = executed["02_forecasting"]
    told = last_value(notebook)
    assert told["won"] <= told["commit"] <= told["best_case"]
    assert told["won"] < told["expected"]
    assert told["target"] == 900_000
    assert 0.3 < told["chance"] < 0.7  # the expected value is near the target
    assert figures(notebook) == (3, 3)


def test_history_shows_that_calibration_helps_and_rolling_does_not(
    executed: dict[str, Any],
) -> None:
    notebook = executed["03_history"]
    told = last_value(notebook)
    assert told["snapshots"] == 19
    assert told["bridge_adds_up"]
    assert told["brier_calibrated"] < told["brier_stated"] - 0.03
    assert (told["best_method"], told["worst_method"]) == ("calibrated", "rolled")
    assert figures(notebook) == (3, 3)


def test_projection_ends_with_what_it_is_worth(executed: dict[str, Any]) -> None:
    notebook = executed["04_projection"]
    told = last_value(notebook)
    assert told["parts_add_up"]
    assert told["months"] == 12
    assert 8 <= told["inside"] <= 11
    assert (told["best_method"], told["worst_method"]) == ("projection", "stated")
    assert 0.2 < told["chance"] < 0.6
    assert told["largest_deal"] > 0
    assert figures(notebook) == (3, 3)


def prose(name: str) -> str:
    return " ".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")


def test_amounts_in_the_words_on_forecasting_are_those_of_the_sample() -> None:
    words = prose("02_forecasting.ipynb")
    table = ca.forecast.by_month(ca.load_sample())
    pounds = table[table["currency"] == "GBP"]
    late = pounds["overdue_weighted"].sum()
    october = pounds[pounds["month"].astype(str) == "2026-10"].iloc[0]
    due = october["weighted_value"] - october["overdue_weighted"]
    assert f"Late deals weigh {round(late, -3):,.0f} pounds" in words
    assert f"still due in October ({round(due, -3):,.0f})" in words
    assert 3.5 < late / due < 4  # nearly four times


def test_figures_in_the_words_on_history_are_those_of_the_sample() -> None:
    words = prose("03_history.ipynb")
    *earlier, july, _, _, today = ca.history.sample_history()
    assert july.as_of.isoformat() == "2026-07-31"
    bridge = ca.history.changes(july, today, period=("2026-10-01", "2026-12-31"))
    pounds = bridge[bridge["currency"] == "GBP"].set_index("part")
    for part in ("opening", "closing"):
        assert f"{pounds.loc[part, 'value'] / 1e6:.1f} million" in words
    came = pounds.loc[["new", "reopened", "value_up", "pulled_in"], "value"]
    assert 0.4 < came["pulled_in"] / came.sum() < 0.6  # about half

    ended = ca.calibration.outcomes([*earlier, july, today], today)
    sure = ca.calibration.reliability(ended).iloc[-1]
    assert sure["stated"] == pytest.approx(0.9, abs=0.01)
    assert sure["won_rate"] == pytest.approx(0.56, abs=0.03)
    slips = ca.history.slippage([*earlier, july, today])
    assert 0.4 < (slips["pushes"] > 0).mean() < 0.6  # roughly half
    assert 80 < slips["days"].mean() < 100  # about three months
