"""Where the pages of a load become columns: one buffer a column, of machine numbers.

The values of a page are turned into numbers at once, while they are at hand, so that a load never
holds more Python objects than a page and its texts. A page in which anything is odd is read by
`_convert`, which keeps what it can and reports the rest.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capsule_analytics._kinds import (
    BOOLEAN,
    CATEGORY,
    DATE,
    INTEGER,
    MOMENT,
    NUMBER,
    OBJECT,
    PERCENT,
    TEXTS,
    Kind,
)

from . import _values as convert

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


_TEXTS = frozenset({str, type(None)})
_AT_ONCE = 10_000  # timestamps read at once


class Buffer:
    """A column that grows page by page.

    Parameters
    ----------
    name
        The column.
    problems
        Receives what could not be read, with the row counted over all pages.
    typed
        Whether the wire has numbers of its own.
    """

    def __init__(self, name: str, problems: list[convert.Problem], *, typed: bool) -> None:
        self._name = name
        self._problems = problems
        self._typed = typed
        self._values: Any = []

    def extend(self, values: list[Any], first_row: int) -> None:  # noqa: ARG002 - others need it
        """Take the values of a page, whose first record has this row."""
        self._values.extend(values)

    def finish(self) -> Any:  # noqa: ANN401 - numpy and pandas arrays
        """Return the column."""
        return np.fromiter(self._values, dtype=object, count=len(self._values))

    def _odd(
        self, read: Callable[..., Any], values: list[Any], first_row: int, **options: bool
    ) -> Any:  # noqa: ANN401 - numpy and pandas arrays
        """Read a page in which something is odd."""
        found: list[convert.Problem] = []
        result = read(self._name, values, found, **options)
        self._problems += [problem._replace(row=problem.row + first_row) for problem in found]
        return result


class Texts(Buffer):
    """Text, None where absent."""

    def extend(self, values: list[Any], first_row: int) -> None:
        """Take the values of a page."""
        if "" in values or not set(map(type, values)) <= _TEXTS:
            values = self._odd(convert.texts, values, first_row).tolist()
        self._values.extend(values)


class Numbers(Buffer):
    """Amounts and percents, NaN where absent."""

    def __init__(self, name: str, problems: list[convert.Problem], *, typed: bool) -> None:
        super().__init__(name, problems, typed=typed)
        self._values = array("d")
        self._kinds = {int, float} if typed else {str}

    def extend(self, values: list[Any], first_row: int) -> None:
        """Take the values of a page."""
        if set(map(type, values)) <= self._kinds:
            try:
                page = array("d", list(map(float, values)))
            except (ValueError, OverflowError):
                page = array("d")
            # A sum of amounts is small; one with NaN or infinity in it is not.
            if page and abs(sum(map(abs, page))) < convert.HUGE:
                self._values.extend(page)
                return
        odd = self._odd(convert.numbers, values, first_row, typed=self._typed)
        self._values.frombytes(odd.tobytes())

    def finish(self) -> NDArray[np.float64]:
        """Return the column."""
        return np.frombuffer(self._values, dtype=np.float64)


class Integers(Buffer):
    """Whole numbers, exact to 64 bits."""

    def __init__(self, name: str, problems: list[convert.Problem], *, typed: bool) -> None:
        super().__init__(name, problems, typed=typed)
        self._values = array("q")
        self._missing = bytearray()
        self._kinds = {int, type(None)} if typed else {str, type(None)}

    def extend(self, values: list[Any], first_row: int) -> None:
        """Take the values of a page."""
        kinds = set(map(type, values))
        if kinds == {type(None)}:  # most columns of most pages
            self._values.frombytes(bytes(self._values.itemsize * len(values)))
            self._missing += b"\1" * len(values)
            return
        if kinds <= self._kinds and (self._typed or convert.is_plain(values)):
            gaps = type(None) in kinds
            given = [0 if value is None else value for value in values] if gaps else values
            try:
                self._values.extend(array("q", list(map(int, given))))
            except (ValueError, OverflowError):
                pass
            else:
                none = bytes([value is None for value in values]) if gaps else bytes(len(values))
                self._missing += none
                return
        odd = self._odd(convert.integers, values, first_row, typed=self._typed)
        self._values.frombytes(odd.to_numpy(dtype=np.int64, na_value=0).tobytes())
        self._missing += odd.isna().tobytes()

    def finish(self) -> pd.arrays.IntegerArray:
        """Return the column."""
        return pd.arrays.IntegerArray(
            np.frombuffer(self._values, dtype=np.int64),
            np.frombuffer(self._missing, dtype=bool),
        )


class _Codes(dict[Any, int]):
    """Numbers texts in the order in which they come; absent is -1."""

    def __init__(self) -> None:
        super().__init__({None: -1, "": -1})

    def __missing__(self, text: str) -> int:
        code = self[text] = len(self) - 2
        return code

    def texts(self) -> list[str]:
        """Return the texts, by their numbers."""
        return list(self)[2:]


class Booleans(Buffer):
    """Yes, no, or missing."""

    def finish(self) -> pd.arrays.BooleanArray:
        """Return the column."""
        return self._odd(convert.booleans, self._values, 0)


class Labels(Buffer):
    """Labels, of which a column has few that differ."""

    def __init__(self, name: str, problems: list[convert.Problem], *, typed: bool) -> None:
        super().__init__(name, problems, typed=typed)
        self._values = array("i")
        self._codes = _Codes()

    def extend(self, values: list[Any], first_row: int) -> None:
        """Take the values of a page."""
        if not set(map(type, values)) <= _TEXTS:
            values = self._odd(convert.texts, values, first_row).tolist()
        self._values.extend(array("i", list(map(self._codes.__getitem__, values))))

    def finish(self) -> Any:  # noqa: ANN401 - a column of days in the subclass
        """Return the column, its labels sorted: pages arrive in any order."""
        texts = self._codes.texts()
        ranks = np.append(np.argsort(np.argsort(np.array(texts, dtype=object))), -1)
        return pd.Categorical.from_codes(
            ranks[self._numbers()].astype(np.int32),
            categories=pd.Index(sorted(texts), dtype=object),
        )

    def _numbers(self) -> NDArray[np.int32]:
        return np.frombuffer(self._values, dtype=np.int32)


class Days(Labels):
    """Calendar days, of which a pipeline has few that differ: each is read once."""

    def finish(self) -> NDArray[np.datetime64]:
        """Return the column."""
        found: list[convert.Problem] = []
        days = np.append(
            convert.dates(self._name, self._codes.texts(), found), np.datetime64("NaT", "us")
        )
        codes = self._numbers()
        for problem in found:
            rows = np.flatnonzero(codes == problem.row).tolist()
            self._problems += [problem._replace(row=row) for row in rows]
        result: NDArray[np.datetime64] = days[codes]
        return result


class Timestamps(Buffer):
    """Points in time, read some thousands at once."""

    def __init__(self, name: str, problems: list[convert.Problem], *, typed: bool) -> None:
        super().__init__(name, problems, typed=typed)
        self._read: list[NDArray[np.datetime64]] = []
        self._rows = 0

    def extend(self, values: list[Any], first_row: int) -> None:
        """Take the values of a page."""
        super().extend(values, first_row)
        if len(self._values) >= _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._read.append(self._odd(convert.timestamps, self._values, self._rows))
        self._rows += len(self._values)
        self._values = []

    def finish(self) -> NDArray[np.datetime64]:
        """Return the column."""
        self._flush()
        return np.concatenate(self._read)


BUFFERS: dict[Kind, type[Buffer]] = {
    TEXTS: Texts,
    INTEGER: Integers,
    NUMBER: Numbers,
    PERCENT: Numbers,
    BOOLEAN: Booleans,
    CATEGORY: Labels,
    DATE: Days,
    MOMENT: Timestamps,
    OBJECT: Buffer,
}
"""The buffer of each kind of column."""
