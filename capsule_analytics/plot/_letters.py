"""Letters that no installed font has: told once, and not once a letter and file."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from capsule_analytics._safe_text import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

_MISSING = re.compile(r"Glyph (\d+) .*missing from", re.DOTALL)
_NAMED = 10


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
