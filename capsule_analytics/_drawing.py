"""Charts as files, and a process that draws them while the command reads and computes.

matplotlib takes as long to import as pandas, and a chart as long as reading a small account. The
process is started with the command, has imported matplotlib by the time that the tables are there,
and on Linux draws several of them at a time. What it draws is what would be drawn here, and is
drawn here if anything comes in its way.
"""

from __future__ import annotations

import gc
import io
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from capsule_analytics._safe_text import safe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    import pandas as pd

_DPI = 144
_LIMIT = 120.0
"""Seconds after which the process is not waited for, and the charts are drawn here."""
_MOST = 4
"""Most charts that are drawn at a time."""
_MISSING = re.compile(r"Glyph (\d+) .*missing from", re.DOTALL)
_NAMED = 10
_PROGRAM = "from capsule_analytics._drawing import serve; serve()"


@dataclass(frozen=True)
class Chart:
    """A chart to be drawn.

    Attributes
    ----------
    name
        Of its files and of its function in `plot`.
    tables
        What the function takes.
    formats
        In which it is wanted.
    """

    name: str
    tables: tuple[pd.DataFrame, ...]
    formats: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """A chart that is drawn.

    Attributes
    ----------
    name
        As the chart's.
    files
        The bytes of each format.
    warned
        What was warned of meanwhile: message, category, file and line.
    """

    name: str
    files: dict[str, bytes]
    warned: tuple[tuple[str, type[Warning], str, int], ...]


def draw(chart: Chart) -> Drawn:
    """Draw a chart in all its formats."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - a second to import, needed here alone
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415

    from capsule_analytics import plot  # noqa: PLC0415

    files = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", r"Glyph \d+")
        figure, _ = getattr(plot, chart.name)(*chart.tables)
        for suffix in chart.formats:
            file = io.BytesIO()
            if suffix == "png":
                # `savefig` would lay the figure out and go through all of it once more before.
                figure.set_dpi(_DPI)
                FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]
            else:
                figure.savefig(file, format=suffix, dpi=_DPI)
            files[suffix] = file.getvalue()
        plt.close(figure)
    warned = tuple((str(one.message), one.category, one.filename, one.lineno) for one in caught)
    return Drawn(chart.name, files, warned)


class Drawing:
    """Draws charts: beside this process where that pays, and otherwise when they are collected.

    To be used in a ``with``, which leaves no process behind.

    Parameters
    ----------
    beside
        Whether to start a process for it now.
    """

    def __init__(self, *, beside: bool) -> None:
        self._charts: list[Chart] = []
        self._process = _started() if beside and _processors() > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def add(self, chart: Chart) -> None:
        """Have a chart drawn."""
        self._charts.append(chart)
        if self._process is not None and self._process.stdin is not None:
            # A process that is stuck would not read what does not fit into the pipe.
            limit = threading.Timer(_LIMIT, _kill, (self._process,))
            limit.start()
            try:
                pickle.dump(chart, self._process.stdin)
                self._process.stdin.flush()
            except OSError:
                self._end()
            finally:
                limit.cancel()

    def collect(self) -> list[Drawn]:
        """Give the charts that were added, in their order.

        Warns
        -----
        UserWarning
            As `missing_letters_told` does, once for all of them.
        """
        drawn = self._from_beside() or [draw(chart) for chart in self._charts]
        with missing_letters_told():
            for chart in drawn:
                for message, category, file, line in chart.warned:
                    warnings.warn_explicit(message, category, file, line)
        return drawn

    def _from_beside(self) -> list[Drawn]:
        """Wait for what the process has drawn; nothing if it did not come to its end."""
        if self._process is None:
            return []
        try:
            answer, _ = self._process.communicate(timeout=_LIMIT)
            whole = self._process.returncode == 0
        except (subprocess.TimeoutExpired, OSError):
            whole = False
        finally:
            self._end()
        return pickle.loads(answer) if whole else []  # noqa: S301 - from a process of our own

    def _end(self) -> None:
        """Leave no process behind."""
        process, self._process = self._process, None
        if process is None:
            return
        _kill(process)
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        process.wait()


def _processors() -> int:
    """Count the processors that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process, unless it has ended, with those that draw for it."""
    if process.poll() is not None:
        return
    with suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _started() -> subprocess.Popen[bytes] | None:
    """Start the process; None where that cannot be done."""
    # A session of its own: Ctrl-C is for the command, which ends it. One thread: it may be forked.
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with suppress(OSError):
        return subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
    return None


def serve() -> None:
    """Draw the charts that standard input brings, and write them when it ends."""
    gc.disable()  # it lives for a second, and what it imports stays
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    from capsule_analytics import plot  # noqa: F401, PLC0415

    # Once through the ways of a picture, so that fonts are read before the first table is there.
    figure = plt.figure()
    figure.text(0, 0, "0")
    figure.savefig(io.BytesIO(), format="png")
    plt.close(figure)
    charts = _read()
    threads = os.listdir("/proc/self/task") if sys.platform == "linux" else []  # noqa: PTH208
    if len(threads) == 1:  # forked with several, a copy may wait for locks that nobody gives back
        import multiprocessing  # noqa: PLC0415

        with multiprocessing.get_context("fork").Pool(min(_MOST, _processors())) as pool:
            waiting = [pool.apply_async(draw, (chart,)) for chart in charts]
            drawn = [one.get() for one in waiting]
    else:
        drawn = [draw(chart) for chart in charts]
    pickle.dump(drawn, sys.stdout.buffer)


def _read() -> Iterator[Chart]:
    """Read charts until there are no more."""
    while True:
        try:
            yield pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started us
        except EOFError:
            return


@contextmanager
def missing_letters_told() -> Iterator[None]:
    """Draw or save any number of charts, and warn once of all letters that are drawn as boxes.

    Other warnings are given as ever, when the charts are done.

    Yields
    ------
    Nothing.

    Warns
    -----
    UserWarning
        If no installed font has a letter; it names the letters.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", r"Glyph \d+")
        yield
    letters: dict[str, None] = {}
    for told in caught:
        if lacking := _MISSING.match(str(told.message)):
            letters[chr(int(lacking[1]))] = None
        else:
            warnings.warn_explicit(told.message, told.category, told.filename, told.lineno)
    if not letters:
        return
    more = f" and {len(letters) - _NAMED} more" if len(letters) > _NAMED else ""
    named = safe(" ".join(list(letters)[:_NAMED]))
    warnings.warn(
        f"no installed font has the letters {named}{more}: names in the "
        f"charts show boxes in their place; install a font of that script, such as one of Noto",
        UserWarning,
        stacklevel=3,
    )
