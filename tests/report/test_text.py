"""What names of deals can do to a spreadsheet: nothing."""

from __future__ import annotations

import csv
import io
import unicodedata
from typing import TYPE_CHECKING

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule_analytics.report._csv import write_csv
from capsule_analytics.report._text import _FORMULA, readable, without_formulas
from capsule_analytics.report._workbook import write_workbook

if TYPE_CHECKING:
    from pathlib import Path

ATTACKS = [
    "=1+1",
    "a\r=1+1",
    "a\r\n=1+1",
    "\n=1+1",
    "\r=1+1",
    "\t=1+1",
    " \N{NO-BREAK SPACE}=1+1",
    "\N{FULLWIDTH EQUALS SIGN}1+1",
    "\N{FULLWIDTH COMMERCIAL AT}SUM(A1)",
    "\N{ZERO WIDTH SPACE}=1+1",
    "\N{ZERO WIDTH NO-BREAK SPACE}=1+1",
    "\x00=1+1",
    "\x1b=1+1",
    "a;=1+1",
    'a"\t=1+1',
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "a\x85=1",
    "\ud800=1",
]


def written(text: str, folder: Path) -> str:
    names = pd.Series([text], dtype="string[python]")
    frame = pd.DataFrame({"id": [1], "name": names, "tags": [(text, "b")]})
    write_csv(frame, folder / "a.csv")
    return (folder / "a.csv").read_bytes().decode()


def runs(cell: str) -> bool:
    """Tell whether a careless spreadsheet would run a cell: by its first sign that is seen."""
    seen = "".join(c for c in cell if unicodedata.category(c)[0] not in "ZC")
    return unicodedata.normalize("NFKC", seen.lstrip('"'))[:1] in {"=", "+", "-", "@"}


@pytest.mark.parametrize("text", ATTACKS)
def test_no_cell_runs_whatever_parts_cells_and_lines(text: str, tmp_path: Path) -> None:
    file = written(text, tmp_path)
    assert "\r" not in file
    assert "\x00" not in file
    for delimiter in (",", ";", "\t"):
        for lines in (io.StringIO(file, newline=""), file.splitlines()):
            cells = [cell for row in csv.reader(lines, delimiter=delimiter) for cell in row]
            assert not [cell for cell in cells if runs(cell)]


@given(st.text(max_size=12))
@settings(max_examples=300, deadline=None)
def test_text_comes_back_but_for_what_was_made_harmless(text: str) -> None:
    kept = without_formulas(text)
    assert without_formulas(kept) == kept
    assert kept.replace("'", "") == readable(text).replace("'", "")


@given(st.text(alphabet=st.sampled_from("ab1 ;=+-@\t\n\r\x00\u200b\u207a\uff1d²é"), max_size=6))
@settings(max_examples=300)
def test_what_is_taken_for_harmless_at_a_glance_is_so(text: str) -> None:
    assert without_formulas(text) == _FORMULA.sub("'", readable(text))


def test_words_stay_as_they_are() -> None:
    for text in ("Phase 2 - 50 % up", "a@b.example", "C++ = fun", "two\nlines", "", "naïve 提案"):
        assert without_formulas(text) == text


@pytest.mark.parametrize("text", ATTACKS)
def test_the_workbook_holds_text_that_can_be_read_again(text: str, tmp_path: Path) -> None:
    names = pd.Series([text], dtype="string[python]")
    write_workbook({"Sheet": pd.DataFrame({"name": names})}, tmp_path / "a.xlsx")
    cell = openpyxl.load_workbook(tmp_path / "a.xlsx")["Sheet"]["A2"]
    assert cell.value == readable(text)
    assert cell.data_type in ("s", "inlineStr")
