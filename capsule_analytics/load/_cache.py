"""Pages kept on disk while a long load runs, so that a failed one can be taken up again.

They lie in the user's cache folder, readable by the user alone, hold what the server sent (never
the token), and are removed when the load is done. What changed since the first attempt began is
found as in any other load, so an old page cannot hide a change. A file that was damaged counts as
not there: the page is fetched again.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from capsule_analytics.api import Query

WORTH_KEEPING = 50
"""Pages from which a failed load is worth taking up again."""

_OLDEST = timedelta(hours=24)
_HEADERS = ("Link", "X-Pagination-Has-More")  # what the twins read of an answer's headers


class Saved(NamedTuple):
    """What is remembered of a load that did not end.

    Attributes
    ----------
    began
        The server's time before its first question.
    changes
        What had changed by then, as JSON.
    """

    began: datetime
    changes: Any


class PageCache:
    """The pages of one load of one list.

    Parameters
    ----------
    root
        URL of the API.
    query
        Which list.
    page_size
        Records asked for in a page.
    folder
        Where caches lie; None means the user's cache folder.
    """

    def __init__(self, root: str, query: Query, page_size: int, folder: Path | None = None) -> None:
        from platformdirs import user_cache_path  # noqa: PLC0415 - needed for live loads alone

        name = hashlib.sha256(repr((root, tuple(query), page_size)).encode()).hexdigest()[:32]
        self._folder = (folder or user_cache_path("capsule-analytics")) / "loads" / name
        self._lock = threading.Lock()
        self._is_open = True

    def begin(self, began: datetime, changes: Mapping[str, Any]) -> None:
        """Start afresh, remembering how the account stood when the load began."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, mode=0o700)
        state = {"saved": datetime.now(UTC), "began": began, "changes": changes}
        self._write("began.json", b"", orjson.dumps(state))

    def state(self) -> Saved | None:
        """Return what `begin` was told, or None if there is nothing recent and whole to take up."""
        if (kept := self._read("began.json")) is None:
            return None
        try:
            state = orjson.loads(kept[1])
            saved, began = (datetime.fromisoformat(state[name]) for name in ("saved", "began"))
            is_recent = datetime.now(UTC) - saved < _OLDEST
            return Saved(began, state["changes"]) if is_recent else None
        except (KeyError, ValueError, TypeError):
            return None  # of another version

    def write(self, position: int, limit: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Keep one page, unless the load has ended meanwhile."""
        kept = {name: headers[name] for name in _HEADERS if name in headers}
        with self._lock:
            if self._is_open:
                self._write(_name(position, limit), orjson.dumps(kept), body)

    def read(self, position: int, limit: int) -> tuple[bytes, dict[str, str]] | None:
        """Return a page as it was written, if it was and is whole."""
        if (kept := self._read(_name(position, limit))) is None:
            return None
        head, body = kept
        return body, orjson.loads(head)

    def close(self, *, done: bool) -> None:
        """End the load: keep nothing if it is done, or was too short to be worth taking up."""
        with self._lock:
            self._is_open = False
            if done or sum(1 for _ in self._folder.glob("*.page")) <= WORTH_KEEPING:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, name: str, head: bytes, body: bytes) -> None:
        """Write a file whole or not at all, readable by the user alone."""
        path = self._folder / name
        aside = path.with_suffix(".new")
        aside.touch(mode=0o600)
        aside.write_bytes(b"\n".join((_digest(head, body), head, body)))
        aside.replace(path)

    def _read(self, name: str) -> tuple[bytes, bytes] | None:
        """Read a file back; None if it is not there, or not as it was written."""
        try:
            data = (self._folder / name).read_bytes()
        except OSError:
            return None
        digest, _, rest = data.partition(b"\n")
        head, _, body = rest.partition(b"\n")
        return (head, body) if digest == _digest(head, body) else None


def _digest(head: bytes, body: bytes) -> bytes:
    return hashlib.sha256(head + b"\n" + body).hexdigest().encode()


def _name(position: int, limit: int) -> str:
    return f"{position}-{limit}.page"
