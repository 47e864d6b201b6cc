"""A report's folder: every file is written aside, and all are moved into place at the end.

A folder of other files cannot be replaced in one step, so its files are moved one by one, and the
moves are written down first. A run that is cut off among them (by a kill, or by the power) leaves
the list behind, which says to people that the report is unfinished and to the next run how to
finish it. A run that fails among them moves the old files back.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capsule_analytics.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MANIFEST = ".capsule-report"
"""In the folder of a report: the names of its files, of which the next one removes the stale."""

UNFINISHED = "capsule-report-unfinished.txt"
"""In the folder of a report whose files are being moved into place: what is to be moved."""

_LOCK = ".capsule-report.lock"
_STAGING = re.compile(r"\.report-[a-z0-9_]{8}")
_WORDS = (
    "This report is unfinished: the run that wrote it was cut off, so that files of two reports\n"
    "stand side by side. The next capsule-report into this folder finishes it.\n"
)


@dataclass(frozen=True)
class _Moves:
    """What is moved: files from the staging folder's ``new``, what they replace to its ``old``."""

    staging: str
    new: tuple[str, ...]
    stale: tuple[str, ...]

    def do(self, folder: Path) -> None:
        """Move what has not been moved yet."""
        staging = folder / self.staging
        for name in self.new:
            if (staging / "new" / name).is_file():
                _put_away(folder / name, staging / "old" / name)
                (staging / "new" / name).replace(folder / name)
        for name in self.stale:
            _put_away(folder / name, staging / "old" / name)

    def undo(self, folder: Path) -> None:
        """Move back what has been moved."""
        staging = folder / self.staging
        for name in (*self.new, *self.stale):
            if os.path.lexists(staging / "old" / name):
                (staging / "old" / name).replace(folder / name)
            elif name in self.new and not (staging / "new" / name).is_file():
                (folder / name).unlink(missing_ok=True)


@contextmanager
def staged(
    folder: Path, inputs: Sequence[Path] = (), *, placed: Callable[[], None] | None = None
) -> Iterator[Path]:
    """Give a folder to write into; move its files into place if all went well.

    Parameters
    ----------
    folder
        Where they belong. What an earlier report left there, and this one has not, is removed.
    inputs
        Files that may not be replaced.
    placed
        Called when the files are in place, before an interrupt that waited for it is let in.

    Yields
    ------
    The folder to write into.

    Raises
    ------
    ArgumentError
        If an input would be replaced, or another run writes into the folder.
    OSError
        If the folder cannot be written to; the old report is then as it was.
    """
    existed = folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _alone(folder):
            _mend(folder)
            staging = Path(tempfile.mkdtemp(prefix=".report-", dir=folder))
            try:
                for name in ("new", "old"):
                    (staging / name).mkdir()
                yield staging / "new"
                _swap(folder, staging, inputs, placed)
            finally:
                if not (folder / UNFINISHED).exists():
                    # What cannot be removed now, as it is open elsewhere, goes with the next run.
                    shutil.rmtree(staging, ignore_errors=True)
    finally:
        if not existed and not any(folder.iterdir()):
            folder.rmdir()


def mend(folder: Path) -> bool:
    """Finish a report that was cut off while its files were moved into place.

    What other runs have left behind is removed.

    Parameters
    ----------
    folder
        The report's folder; need not exist. One that another run writes into is left to it.

    Returns
    -------
    Whether there was a report to finish, and it is whole now.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    if not (folder / UNFINISHED).is_file() and not _left_over(folder):
        return False
    try:
        with _alone(folder):
            return _mend(folder)
    except ArgumentError:
        return False


def _mend(folder: Path) -> bool:
    """Mend a folder that is ours alone."""
    moves = _read(folder / UNFINISHED)
    whole = False
    if moves is not None and (folder / moves.staging).is_dir():
        with _undisturbed():
            moves.do(folder)
            whole = all((folder / name).is_file() for name in moves.new)
            if whole:
                (folder / UNFINISHED).unlink()
    for path in _left_over(folder):
        shutil.rmtree(path, ignore_errors=True)
    return whole


def _swap(
    folder: Path, staging: Path, inputs: Sequence[Path], placed: Callable[[], None] | None
) -> None:
    """Move the files of a report into place, or none of them."""
    written = sorted(path.name for path in (staging / "new").iterdir())
    taken = {path.resolve() for path in inputs}
    for name in written:
        if (folder / name).resolve() in taken:
            raise ArgumentError(
                f"the report would replace {folder / name}, which it reads: choose another folder"
                " for it"
            )
    manifest = folder / MANIFEST
    earlier = set(manifest.read_text("utf-8").splitlines()) if manifest.is_file() else set()
    cut_off = _read(folder / UNFINISHED)
    if cut_off is not None:
        earlier |= {*cut_off.new, *cut_off.stale}
    stale = sorted({Path(name).name for name in earlier} - {*written, MANIFEST, ""})
    stale = [name for name in stale if (folder / name).resolve() not in taken]
    (staging / "new" / MANIFEST).write_text("".join(f"{name}\n" for name in written), "utf-8")
    moves = _Moves(staging.name, (*written, MANIFEST), tuple(stale))
    # After a power cut the list must not speak of files that never reached the disk.
    for path in (staging / "new").iterdir():
        _settle(path)
    _settle(staging / "new")
    (staging / UNFINISHED).write_text(f"{_WORDS}\n{json.dumps(asdict(moves))}\n", "utf-8")
    _settle(staging / UNFINISHED)
    with _undisturbed():
        (staging / UNFINISHED).replace(folder / UNFINISHED)
        _settle(folder)
        try:
            moves.do(folder)
        except BaseException:
            moves.undo(folder)
            (folder / UNFINISHED).unlink()
            raise
        _settle(folder)
        (folder / UNFINISHED).unlink()
        if placed is not None:
            placed()


def _put_away(path: Path, old: Path) -> None:
    """Move a file that is replaced or stale out of the folder; a folder of its name stays."""
    if (path.is_file() or path.is_symlink()) and not os.path.lexists(old):
        path.replace(old)


def _read(marker: Path) -> _Moves | None:
    """Read what was to be moved; None if there is nothing, or nothing that makes sense."""
    if not marker.is_file():  # a pipe would be waited for
        return None
    try:
        found: Any = json.loads(marker.read_text("utf-8").rstrip("\n").rpartition("\n")[2])
        moves = _Moves(found["staging"], tuple(found["new"]), tuple(found["stale"]))
        names = [Path(name).name for name in (*moves.new, *moves.stale)]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    # The list is a file that anyone may have written: it moves what is in this folder, and no more.
    plain = names == [*moves.new, *moves.stale] and _STAGING.fullmatch(moves.staging) is not None
    return moves if plain else None


def _left_over(folder: Path) -> list[Path]:
    """List the staging folders of runs that were cut off, but for the one still to be moved."""
    if not folder.is_dir():
        return []
    moves = _read(folder / UNFINISHED)
    return [
        path
        for path in folder.iterdir()
        if _STAGING.fullmatch(path.name)
        and path.is_dir()
        and not path.is_symlink()
        and (moves is None or path.name != moves.staging)
    ]


def _settle(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    if path.is_file():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    elif os.name == "posix":  # Windows does folders by itself
        opened = os.open(path, os.O_RDONLY)
        with suppress(OSError):  # some network disks know no such thing
            os.fsync(opened)
        os.close(opened)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other runs out of the folder; the lock goes with the process, however it ends."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - not for --help

    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ArgumentError(
            f"another run is writing a report into {folder}: wait for it, or choose another folder"
        ) from error
    try:
        yield
    finally:
        # While it is held: a run that opened it before sees that it is gone, and tries again.
        with suppress(OSError):
            (folder / _LOCK).unlink()
        lock.release()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let INT and TERM wait, for what takes milliseconds and must not be cut in two."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs signal handlers in the main thread alone
        return
    came: list[int] = []
    before = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if (handler := signal.getsignal(number)) is not None
    }
    try:
        for number in before:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
