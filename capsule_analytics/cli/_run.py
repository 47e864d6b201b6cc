"""How the commands end: one line and an exit code, never a traceback, never the token."""

from __future__ import annotations

import io
import math
import os
import signal
import sys
import traceback
import warnings
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import click

from capsule_analytics._safe_text import one_line, safe
from capsule_analytics.errors import CapsuleError

INTERRUPTED = 130
TERMINATED = 143
DAY = 86_400.0


class Day(click.ParamType):  # type: ignore[type-arg] # generic only in newer releases
    """A calendar day, YYYY-MM-DD."""

    name = "YYYY-MM-DD"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click passes what it has
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> date:
        """Read the day."""
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no day of the form YYYY-MM-DD", param, ctx)


class Seconds(click.ParamType):  # type: ignore[type-arg] # generic only in newer releases
    """A length of time within a day, as the client takes it.

    Parameters
    ----------
    zero
        Whether it may be none.
    """

    name = "seconds"

    def __init__(self, *, zero: bool = False) -> None:
        self._least = "0" if zero else "more than 0"
        self._zero = zero

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click passes what it has
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Read the seconds; not a number is none, and infinity is no limit."""
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            seconds = math.nan
        if not (0 < seconds <= DAY or (self._zero and seconds == 0)):
            self.fail(f"{value!r} is not {self._least} to {DAY:,.0f} seconds", param, ctx)
        return seconds


@dataclass
class Kept:
    """What a command has brought about so far, as it is told when it is interrupted, and where.

    Attributes
    ----------
    words
        The end of the sentence.
    alone
        Whether the process is the command's own: it may have others beside it.
    """

    words: str = "nothing was written"
    alone: bool = False


class _Terminated(KeyboardInterrupt):
    """The process was asked to end (TERM); it ends as by Ctrl-C, with its own exit code."""


def _terminate(*_: object) -> None:
    raise _Terminated


def say(text: object, *, error: bool = False) -> None:
    """Print one line: the way out for all that the commands say outside of tables.

    Parameters
    ----------
    text
        What to say. Names and servers' words may be in it.
    error
        Whether it goes to standard error.
    """
    click.echo(one_line(text), err=error)


def run(command: click.Command, args: list[str] | None = None, *, alone: bool = False) -> int:
    """Run a command and turn what went wrong into one line and an exit code.

    Parameters
    ----------
    command
        The command.
    args
        Its arguments; None means those of the process.
    alone
        Whether the process is the command's own.

    Returns
    -------
    0 done, 1 failed, 2 wrong usage, 130 interrupted, 143 terminated.
    """
    warnings.showwarning = _show_warning
    verbose = "--verbose" in (sys.argv if args is None else args)
    kept = Kept(alone=alone)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # As by itself it ends no process that is the first of its container, and cleans up nothing.
        signal.signal(signal.SIGTERM, _terminate)
    try:
        code = command.main(args, standalone_mode=False, obj=kept)
    except click.UsageError as error:
        error.show(words := io.StringIO())
        click.echo(safe(words.getvalue().rstrip("\n")), err=True)  # it may quote the configuration
        return 2
    except click.Abort as error:
        if isinstance(error.__cause__, _Terminated):
            say(f"Terminated; {kept.words}.", error=True)
            return TERMINATED
        say(f"Interrupted; {kept.words}.", error=True)
        return INTERRUPTED
    except (CapsuleError, click.ClickException, OSError) as error:
        message = str(error)
        if isinstance(error, click.ClickException):
            message = error.format_message()
        elif isinstance(error, OSError) and error.filename is not None:
            message = f"{error.filename}: {error.strerror}"
        say(f"Error: {message}", error=True)
        cause = error.__cause__
        while verbose and cause is not None:
            kind = "" if type(cause) is CapsuleError else f"{type(cause).__name__}: "
            say(f"because of {kind}{cause}", error=True)
            cause = cause.__cause__
        return 1
    except Exception as error:  # noqa: BLE001 - a user is shown one line, whatever happens
        where = traceback.extract_tb(error.__traceback__)[-1]
        say(
            f"Error: this should not happen, please report it: {type(error).__name__} "
            f"in {Path(where.filename).name}, line {where.lineno}: {error}",
            error=True,
        )
        return 1
    return int(code or 0)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Tell a warning as a user reads it, without the line of code that gave it."""
    say(f"Warning: {message}", error=True)


def finish(code: int) -> None:
    """End the process; when interrupted, without waiting for pages that are still under way."""
    sys.stdout.flush()
    sys.stderr.flush()
    if code in (INTERRUPTED, TERMINATED):
        os._exit(code)
    sys.exit(code)
