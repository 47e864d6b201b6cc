"""A report is old or new: whatever cuts it off, and however many runs there are at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from capsule_analytics.errors import ArgumentError
from capsule_analytics.report import mend
from capsule_analytics.report._folder import MANIFEST, UNFINISHED, staged

OLD = {"forecast.csv": "old", "changes.csv": "old", MANIFEST: "changes.csv\nforecast.csv\n"}
NEW = {"forecast.csv": "new", "revenue.csv": "new", MANIFEST: "forecast.csv\nrevenue.csv\n"}
MINE = {"notes.txt": "mine"}


def held(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def write(folder: Path, files: dict[str, str], **more: object) -> None:
    with staged(folder, **more) as aside:  # type: ignore[arg-type]
        for name, text in files.items():
            if name != MANIFEST:
                (aside / name).write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a report, and a file of someone else."""
    write(tmp_path / "report", OLD)
    (tmp_path / "report" / "notes.txt").write_text("mine")
    assert held(tmp_path / "report") == OLD | MINE
    return tmp_path / "report"


def test_a_new_report_takes_the_old_ones_place(folder: Path) -> None:
    write(folder, NEW)
    assert held(folder) == NEW | MINE
    assert not [path for path in folder.iterdir() if path.is_dir()]


# In a process of its own, for it is cut off as by a kill, once at each of its file system calls.
CUT_OFF = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_folder import MINE, NEW, OLD, UNFINISHED, held, write
from capsule_analytics.report import mend

calls = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.listdir"}

def run(folder, step):
    seen = 0
    def count(event, args):
        nonlocal seen
        if event in calls and str(folder) in str(args[0]):
            seen += 1
            if seen == step:
                os._exit(9)
    child = os.fork()
    if child == 0:
        sys.addaudithook(count)
        write(folder, NEW)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

states = []
for step in range(1, 1000):
    folder = Path(sys.argv[1]) / str(step)
    write(folder, OLD)
    (folder / "notes.txt").write_text("mine")
    code = run(folder, step)
    left, marked = held(folder), (folder / UNFINISHED).exists()
    left.pop(UNFINISHED, None)
    left.pop(".capsule-report.lock", None)
    state = "old" if left == OLD | MINE else "new" if left == NEW | MINE else "mixed"
    mended = mend(folder)
    whole = held(folder)
    whole.pop(".capsule-report.lock", None)
    after = "old" if whole == OLD | MINE else "new" if whole == NEW | MINE else "mixed"
    clean = not [path for path in folder.iterdir() if path.is_dir()]
    write(folder, NEW)
    states.append([code, state, marked, mended, after, clean, held(folder) == NEW | MINE])
    if code == 0:
        break
print(json.dumps(states))
"""


@pytest.mark.skipif(os.name != "posix", reason="forks")
def test_a_run_that_is_killed_at_any_step_leaves_a_report_that_is_whole_or_marked(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CUT_OFF, tmp_path, Path(__file__).parent],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    states = json.loads(done.stdout)
    assert len(states) > 30
    for code, state, marked, mended, after, clean, whole in states:
        assert marked or state != "mixed", "what is of two reports says so"
        assert mended == marked
        assert after == ("new" if marked else state), "what has begun is finished"
        assert clean, "nothing is left over"
        assert whole, "the next run is as any other"
        assert code in (0, 9)
    assert {state for _, state, *_ in states} == {"old", "mixed", "new"}
    # In the order of the steps: old until the list is there, then new.
    afters = [after for *_, after, _, _ in states]
    assert afters == sorted(afters, reverse=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_wait_for_the_swap(
    number: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal comes at each move; the report is the new one, and then the signal counts."""
    came: list[int] = []
    before = signal.signal(number, lambda *_: came.append(number))
    replace = Path.replace
    moves = 0

    def disturbed(self: Path, target: Path) -> Path:
        nonlocal moves
        if (folder / UNFINISHED).exists():
            moves += 1
            signal.raise_signal(number)
            assert not came
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", disturbed)
    try:
        write(folder, NEW, placed=lambda: came.append(0))
    finally:
        signal.signal(number, before)
    assert moves == 6
    assert came == [0, number], "once, and after the files are in place"
    assert held(folder) == NEW | MINE


def test_an_interrupt_before_the_swap_leaves_the_old_report(folder: Path) -> None:
    before = held(folder)

    def interrupted() -> None:
        with staged(folder) as aside:
            (aside / "forecast.csv").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert held(folder) == before
    assert not [path for path in folder.iterdir() if path.is_dir()]


@pytest.mark.parametrize("at", range(1, 8))
def test_a_move_that_fails_is_taken_back(
    at: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where a file that is open in a spreadsheet cannot be replaced."""
    replace = Path.replace
    moves = 0

    def denied(self: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves == at:
            raise PermissionError(13, "open elsewhere", str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", denied)
    with pytest.raises(PermissionError, match="open elsewhere"):
        write(folder, NEW)
    monkeypatch.undo()
    assert held(folder) == OLD | MINE
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_a_folder_of_a_files_name_is_neither_replaced_nor_emptied(folder: Path) -> None:
    (folder / "revenue.csv").mkdir()
    (folder / "revenue.csv" / "kept").touch()
    with pytest.raises(OSError, match="revenue"):
        write(folder, NEW)
    assert held(folder) == OLD | MINE
    assert (folder / "revenue.csv" / "kept").exists()


def test_two_runs_at_once(folder: Path) -> None:
    with staged(folder) as aside:
        (aside / "forecast.csv").write_text("first")
        with pytest.raises(ArgumentError, match="another run is writing a report into"):
            write(folder, NEW)
        assert mend(folder) is False, "it is not cut off"
    assert held(folder)["forecast.csv"] == "first"
    write(folder, NEW)
    assert held(folder) == NEW | MINE


def test_a_thread_may_write_a_report(folder: Path) -> None:
    thread = threading.Thread(target=write, args=(folder, NEW))
    thread.start()
    thread.join()
    assert held(folder) == NEW | MINE


def test_what_earlier_runs_left_goes_and_what_others_have_stays(folder: Path) -> None:
    for name in (".report-abcd_123", ".report-notes", ".reports"):
        (folder / name).mkdir()
        (folder / name / "forecast.csv").touch()
    assert mend(folder) is False
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [
        ".report-notes", ".reports",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "words alone",
        "[]",
        "[" * 100_000,
        '{"staging": "..", "new": [], "stale": ["notes.txt"]}',
        '{"staging": ".report-abcd_123", "new": ["../notes.txt"], "stale": []}',
        '{"staging": ".report-abcd_123", "new": [1], "stale": []}',
    ],
)
def test_a_list_that_makes_no_sense_moves_nothing(text: str, folder: Path) -> None:
    (folder / UNFINISHED).write_text(text)
    assert mend(folder) is False
    assert held(folder) == OLD | MINE | {UNFINISHED: text}
    write(folder, NEW)
    assert held(folder) == NEW | MINE


@pytest.mark.skipif(os.name != "posix", reason="Windows settles folders by itself")
def test_what_the_list_names_is_on_the_disk_before_the_list(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a power cut leaves no list of files that never got there."""
    settled: set[int] = set()
    sync, replace = os.fsync, Path.replace

    def settling(opened: int) -> None:
        settled.add(os.fstat(opened).st_ino)
        sync(opened)

    def moving(self: Path, target: Path) -> Path:
        if self.name == UNFINISHED:
            needed = [self, self.parent / "new", *(self.parent / "new").iterdir()]
            assert {path.stat().st_ino for path in needed} <= settled
            settled.clear()
        elif self.parent.name == "new":
            assert folder.stat().st_ino in settled, "the list's name, before the first move"
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", settling)
    monkeypatch.setattr(Path, "replace", moving)
    write(folder, NEW)
    assert held(folder) == NEW | MINE


@pytest.mark.skipif(os.name != "posix", reason="makes a pipe")
def test_a_pipe_in_place_of_the_list_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / UNFINISHED)
    assert mend(folder) is False
    (folder / UNFINISHED).unlink()


def test_what_others_linked_is_not_followed(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "new").mkdir(parents=True)
    (other / "new" / "forecast.csv").write_text("theirs")
    (folder / ".report-abcd_123").symlink_to(other)
    (folder / "forecast.csv").unlink()
    (folder / "forecast.csv").symlink_to(other / "new" / "forecast.csv")
    write(folder, NEW)
    assert (other / "new" / "forecast.csv").read_text() == "theirs"
    (folder / ".report-abcd_123").unlink()
    assert held(folder) == NEW | MINE


def test_a_folder_that_is_not_there_needs_no_mending(tmp_path: Path) -> None:
    assert mend(tmp_path / "none") is False
    assert not list(tmp_path.iterdir())
