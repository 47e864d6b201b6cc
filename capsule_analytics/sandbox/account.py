"""The account behind the sandbox: its records, the changes made to them, and their times.

Records are dictionaries in the form of API v2. They are replaced, never changed in place, so a
record read by one thread stays whole while another thread writes, and whatever was rendered from
a record stays valid for as long as the account still holds that very object.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import orjson

from capsule_analytics.errors import ArgumentError, DataError

from .configuration import Configuration, rows
from .quirks import Quirks
from .records import Record, stamp
from .rules import apply

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from pathlib import Path

Order = Literal["id", "-id", "updated", "-updated", "name"]
ORDERS: tuple[Order, ...] = ("id", "-id", "updated", "-updated", "name")

# Views are cheap to rebuild, and a test that asks thousands of distinct questions must not
# keep them all.
MOST_VIEWS = 64
DEFAULTS = Quirks()


def utc_now() -> datetime:
    """Read the clock, in UTC."""
    return datetime.now(UTC)


class Account(Configuration):
    """A Capsule account in memory, safe to read and change from several threads.

    Parameters
    ----------
    data
        The account in the form of the account file: ``users``, ``milestones``, ``parties``,
        ``opportunities`` and so on. Parts that are missing are taken as empty, but milestones
        without a pipeline make one, and fields without a definition a definition, because
        Capsule has neither the one nor the other.
    clock
        Gives the current time, for ``createdAt``, ``updatedAt``, ``closedOn`` and ``deletedAt``.

    Raises
    ------
    DataError
        A part has the wrong shape, an id is not an integer, or two opportunities share one.

    Examples
    --------
    >>> account = Account(
    ...     {
    ...         "milestones": [{"id": 1, "name": "Bid", "probability": 40, "complete": False}],
    ...         "parties": [{"id": 5, "type": "organisation", "name": "Acme"}],
    ...     }
    ... )
    >>> deal = account.create({"name": "Shop", "party": {"id": 5}, "milestone": {"id": 1}})
    >>> deal["id"], deal["probability"]
    (1, 40)
    >>> account.update(1, {"probability": 60})["probability"]
    60
    >>> account.delete(1)
    >>> account.get(1) is None
    True
    """

    def __init__(self, data: Mapping[str, Any], *, clock: Callable[[], datetime] = utc_now) -> None:
        self.clock = clock
        super().__init__(data)
        self.contacts: dict[int, list[int]] = {
            int(key): list(ids) for key, ids in (data.get("additionalParties") or {}).items()
        }
        self.deleted = rows(data, "deletedOpportunities")
        self.restricted = rows(data, "restrictedOpportunities")
        self._lock = threading.RLock()
        self._views: dict[Hashable, list[Record]] = {}
        self._records: dict[int, Record] = {}
        for record in rows(data, "opportunities"):
            if record["id"] in self._records:
                raise DataError(f"The account has two opportunities with id {record['id']}.")
            self._records[record["id"]] = record
        gone = [row["id"] for row in (*self.deleted, *self.restricted)]
        self._next_id = max([0, *self._records, *gone]) + 1

    @classmethod
    def read(cls, path: Path) -> Account:
        """Read an account file.

        Parameters
        ----------
        path
            A UTF-8 JSON file.

        Raises
        ------
        DataError
            The file cannot be read, is not JSON, or does not describe an account.
        """
        try:
            data = orjson.loads(path.read_bytes())
        except OSError as error:
            raise DataError(f"The account file {path} cannot be read: {error.strerror}.") from error
        except orjson.JSONDecodeError as error:
            raise DataError(f"The account file {path} is not JSON: {error}.") from error
        if not isinstance(data, dict):
            raise DataError(f"The account file {path} must hold a JSON object.")
        return cls(data)

    def __len__(self) -> int:
        """Count the opportunities."""
        return len(self._records)

    def get(self, opportunity_id: int) -> Record | None:
        """Look up an opportunity; the record is to be read, and changed by `update` alone.

        Parameters
        ----------
        opportunity_id
            The id of the opportunity.
        """
        return self._records.get(opportunity_id)

    def opportunities(
        self,
        order: Order = "id",
        *,
        key: Hashable = None,
        where: Callable[[Record], bool] | None = None,
    ) -> Sequence[Record]:
        """List opportunities in an order, all or those that pass a test.

        Parameters
        ----------
        order
            ``"id"``, ``"updated"`` or ``"name"`` ascending; a leading ``-`` turns it round.
        key
            Names the test, so that the answer is kept until the account changes. Without it
            nothing is kept.
        where
            Says of a record whether it belongs to the list.

        Raises
        ------
        ArgumentError
            The order is none of the valid ones.
        """
        if order not in ORDERS:
            raise ArgumentError(f"order must be one of {', '.join(ORDERS)}, not {order!r}.")
        with self._lock:
            ordered = self.view(("order", order), lambda: _sorted(self._records.values(), order))
            if where is None:
                return ordered

            def build() -> list[Record]:
                return [record for record in ordered if where(record)]

            return build() if key is None else self.view((order, key), build)

    def view(self, key: Hashable, build: Callable[[], list[Record]]) -> Sequence[Record]:
        """Look up a list of records, building it if the account has changed since the last time.

        Parameters
        ----------
        key
            Names the list.
        build
            Makes the list.
        """
        with self._lock:
            kept = self._views.get(key)
            if kept is None:
                kept = build()
                if len(self._views) >= MOST_VIEWS:
                    self._views.clear()
                self._views[key] = kept
            return kept

    def create(
        self,
        changes: Mapping[str, Any],
        *,
        contacts: Sequence[int] = (),
        quirks: Quirks = DEFAULTS,
    ) -> Record:
        """Add an opportunity as the API would.

        Parameters
        ----------
        changes
            The record in the form of API v2; ``name``, ``party`` and ``milestone`` are required.
        contacts
            Parties that join its additional contacts.
        quirks
            What Capsule may or may not accept.

        Returns
        -------
        The record as stored, with its new id.

        Raises
        ------
        ValidationError
            A value is missing or wrong; every problem is listed.
        """
        with self._lock:
            now = self.clock()
            record = apply(self, changes, None, now, quirks)
            record["id"] = self._next_id
            record["createdAt"] = record["updatedAt"] = stamp(now)
            self._next_id += 1
            self._store(record, contacts)
            return record

    def update(
        self,
        opportunity_id: int,
        changes: Mapping[str, Any],
        *,
        contacts: Sequence[int] = (),
        quirks: Quirks = DEFAULTS,
    ) -> Record:
        """Change the fields that are named, and leave the others alone.

        Parameters
        ----------
        opportunity_id
            The id of the opportunity.
        changes
            The fields to change, in the form of API v2.
        contacts
            Parties that join its additional contacts.
        quirks
            What Capsule may or may not accept.

        Returns
        -------
        The record as stored.

        Raises
        ------
        KeyError
            There is no such opportunity.
        ValidationError
            A value is wrong; every problem is listed.
        """
        with self._lock:
            now = self.clock()
            record = apply(self, changes, self._records[opportunity_id], now, quirks)
            record["updatedAt"] = stamp(now)
            self._store(record, contacts)
            return record

    def delete(self, opportunity_id: int) -> None:
        """Delete an opportunity and note when.

        Parameters
        ----------
        opportunity_id
            The id of the opportunity.

        Raises
        ------
        KeyError
            There is no such opportunity.
        """
        with self._lock:
            del self._records[opportunity_id]
            self.contacts.pop(opportunity_id, None)
            self.deleted.append({"id": opportunity_id, "deletedAt": stamp(self.clock())})
            self._views.clear()

    def restrict(self, opportunity_id: int) -> None:
        """Take an opportunity out of the token's sight, as a change of permissions does.

        Parameters
        ----------
        opportunity_id
            The id of the opportunity.

        Raises
        ------
        KeyError
            There is no such opportunity.
        """
        with self._lock:
            del self._records[opportunity_id]
            self.restricted.append({"id": opportunity_id, "restrictedAt": stamp(self.clock())})
            self._views.clear()

    def delete_milestone(self, milestone_id: int) -> None:
        """Take a milestone out of its pipeline; deals that refer to it go on doing so.

        Parameters
        ----------
        milestone_id
            The id of the milestone.
        """
        with self._lock:
            self.milestones = [
                {**row, "isDeleted": True} if row["id"] == milestone_id else row
                for row in self.milestones
            ]
            self._views.clear()

    def archive_pipeline(self, pipeline_id: int) -> None:
        """Archive a pipeline; its milestones and deals stay.

        Parameters
        ----------
        pipeline_id
            The id of the pipeline.
        """
        with self._lock:
            self.pipelines = [
                {**row, "isDeleted": True} if row["id"] == pipeline_id else row
                for row in self.pipelines
            ]

    def put(self, record: Record) -> None:
        """Store a record exactly as it is, checking nothing: for odd data in tests.

        Parameters
        ----------
        record
            The whole record, with its id; it replaces one of the same id.
        """
        with self._lock:
            self.restricted[:] = [row for row in self.restricted if row["id"] != record["id"]]
            self._store(dict(record), ())
            self._next_id = max(self._next_id, record["id"] + 1)

    def _store(self, record: Record, contacts: Sequence[int]) -> None:
        self._records[record["id"]] = record
        joined = self.contacts.setdefault(record["id"], [])
        joined.extend(party for party in contacts if party not in joined)
        self._views.clear()


def _sorted(records: Iterable[Record], order: Order) -> list[Record]:
    def by_name(record: Record) -> tuple[str, int]:
        return str(record.get("name") or ""), record["id"]

    def by_update(record: Record) -> tuple[str, int]:
        return str(record.get("updatedAt") or ""), record["id"]

    def by_id(record: Record) -> int:
        return int(record["id"])

    key: Callable[[Record], Any] = {"name": by_name, "updated": by_update, "id": by_id}[
        order.removeprefix("-")
    ]
    return sorted(records, key=key, reverse=order.startswith("-"))
