"""What the twins `_v1` and `_v2` exchange with the rooms above them: requests, pages, records."""

from __future__ import annotations

import ipaddress
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from capsule_analytics import __version__
from capsule_analytics.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_CONNECTIONS = 8
"""Requests that may be under way at the same time."""
USER_AGENT = f"capsule-analytics/{__version__}"

RawColumns = dict[str, list[Any]]
"""One page of opportunities: a list a raw column, all of one length, None where absent."""

Record = dict[str, Any]
"""One raw record under the names of `schema.COLUMNS`, values as they came."""


class Request(NamedTuple):
    """One HTTP request, relative to the API's root."""

    method: str
    path: str
    params: dict[str, str] = {}  # noqa: RUF012 - never written to
    body: bytes | None = None

    @property
    def reads(self) -> bool:
        """Whether it changes nothing, so that it may be sent again; a query may be a POST."""
        return self.method == "GET" or self.path.endswith(("/results", "/value"))


class Query(NamedTuple):
    """Which opportunities to list; everything None lists them all."""

    milestone: str | None = None
    tag: str | None = None
    owner: str | int | None = None
    changed_since: datetime | None = None
    party_id: int | None = None
    embed: tuple[str, ...] = ()
    pipeline: int | None = None
    team: int | None = None


class Field(NamedTuple):
    """What stands in one custom field of an opportunity.

    Attributes
    ----------
    definition
        Id of the field's definition; None where the wire has none.
    name
        Its name, which need not be unique.
    tag
        Name of the DataTag that brought it, where that is told.
    value
        As it came.
    """

    definition: int | None
    name: str
    tag: str | None
    value: Any


def field_keys(fields: Iterable[Field]) -> dict[tuple[int | None, str], str]:
    """Give each custom field a key: its name, or more where several have that name.

    A field of a DataTag is then named after it ("Contract: Signed"); what is still the same gets
    its id ("Signed (9023)").

    Parameters
    ----------
    fields
        Fields or definitions of an account, in any order and as often as they occur.

    Returns
    -------
    Keys by the definition's id and the name.

    Examples
    --------
    >>> fields = Field(1, "Size", None, 3), Field(2, "Ref", "A", "x"), Field(3, "Ref", "B", 2)
    >>> list(field_keys(fields).values())
    ['Size', 'A: Ref', 'B: Ref']
    """
    known: dict[tuple[int | None, str], str | None] = {}
    for one in fields:
        who = (one.definition, one.name)
        known[who] = known.get(who) or one.tag
    often = Counter(name for _, name in known)
    keys = {
        (number, name): f"{tag}: {name}" if tag and often[name] > 1 else name
        for (number, name), tag in known.items()
    }
    often = Counter(keys.values())
    return {
        who: f"{key} ({who[0]})" if often[key] > 1 and who[0] is not None else key
        for who, key in keys.items()
    }


class Page(NamedTuple):
    """One answer to a list request.

    Attributes
    ----------
    columns
        The records.
    more
        Whether the server says that more follow; None where it does not say, so that only an
        empty page is the end.
    total
        How many records the whole list has, where the server says so.
    """

    columns: RawColumns
    more: bool | None
    total: int | None = None

    @property
    def size(self) -> int:
        """Number of records."""
        return len(self.columns["id"])


class Deleted(NamedTuple):
    """What the server no longer shows.

    Attributes
    ----------
    records
        ``id`` and ``deleted_at`` of each deleted opportunity.
    restricted
        The same for those the token may no longer see (API v2).
    more
        As for `Page`.
    """

    records: list[Record]
    restricted: list[Record]
    more: bool | None


class Api(Protocol):
    """What `_v1` and `_v2` both are: a wire format, and nothing that sends or keeps."""

    TYPED: bool
    ACCEPT: str
    CONTENT_TYPE: str
    FIRST: int
    SERVER_FILTERS: frozenset[str]
    FIELDS: frozenset[str]
    DURATION_BASES: tuple[str, ...]

    def root(self, account: str | None, base_url: str | None) -> str: ...
    def authorization(self, token: str) -> str: ...
    def step(self, received: int) -> int: ...
    def position(self, start: int, limit: int) -> int: ...

    def get(self, opportunity_id: int, embed: Sequence[str] = ()) -> Request: ...
    def list_page(self, query: Query, position: int, limit: int) -> Request: ...
    def deleted(self, since: datetime, position: int) -> Request: ...
    def milestones(self, position: int) -> Request: ...
    def currencies(self) -> Request: ...
    def parties(self, opportunity_id: int) -> Request: ...
    def create(self, party_id: int, fields: Mapping[str, Any]) -> Request: ...
    def update(
        self, opportunity_id: int, party_id: int | None, fields: Mapping[str, Any]
    ) -> Request: ...
    def delete(self, opportunity_id: int) -> Request: ...

    def parse_opportunity(self, body: bytes) -> Record: ...
    def parse_page(self, body: bytes, headers: Mapping[str, str]) -> Page: ...
    def parse_deleted(self, body: bytes, headers: Mapping[str, str]) -> Deleted: ...
    def parse_milestones(
        self, body: bytes, headers: Mapping[str, str]
    ) -> tuple[list[Record], bool]: ...
    def parse_currencies(self, body: bytes) -> list[str]: ...
    def parse_parties(self, body: bytes) -> list[Record]: ...
    def parse_created(self, body: bytes, headers: Mapping[str, str]) -> int: ...
    def parse_error(self, body: bytes) -> str: ...


class TooManyValuesError(DataError):
    """What is too large to be read, and would be when it is asked for again."""


MOST_VALUES = 1_000_000
"""Values that a body may hold; a page of 100 deals with tags and fields has some 10,000."""


def check_size(body: bytes, marks: tuple[bytes, ...]) -> None:
    """Refuse a body that would take many times its size in memory, before it is parsed.

    Parameters
    ----------
    body
        The body.
    marks
        Bytes of which each value has at least one; they may stand within text too.

    Raises
    ------
    TooManyValuesError
        If there are too many.
    """
    if len(body) > MOST_VALUES and sum(map(body.count, marks)) > MOST_VALUES:
        raise TooManyValuesError(
            f"a body of {len(body):,} bytes that holds more than {MOST_VALUES:,} values is no page"
        )


def wire_text(value: object) -> str:
    """Write a value as both APIs do: exact decimals without an exponent, ISO dates in UTC.

    Examples
    --------
    >>> wire_text(Decimal("2000.10")), wire_text(2000.1), wire_text(Decimal("1E+3"))
    ('2000.10', '2000.1', '1000')
    """
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def is_loopback(root: str) -> bool:
    """Tell whether a URL leads to this machine itself."""
    host = urlsplit(root).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
