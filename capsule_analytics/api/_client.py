"""`CapsuleClient`: every call of Capsule's Opportunity API, read and write, in either version."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from capsule_analytics.errors import ArgumentError, NotFoundError

from . import _v1, _v2
from ._protocol import Deleted, Page, Query, Record, Request
from ._records import as_utc, exact_amount, typed_record
from ._transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ._protocol import Api

_APIS: dict[str, Api] = {"v1": _v1, "v2": _v2}  # type: ignore[dict-item] # modules as protocols


def api_of(version: str) -> Api:
    """Return the twin that speaks a version of the API."""
    if version not in _APIS:
        raise ArgumentError(f"api_version must be one of v1, v2, not {version!r}")
    return _APIS[version]


_MOST = 100
"""Most records that the API gives in one page."""


class CapsuleClient:
    """A Capsule account over HTTP.

    Records are dicts under the names of `schema.COLUMNS`: ``id``, ``name``, ``value`` as an
    exact Decimal, ``probability`` in percent as Capsule has it, dates as `datetime.date`,
    timestamps as aware UTC datetimes; None where the account has nothing.

    Parameters
    ----------
    account
        Subdomain of the account, as in https://ACCOUNT.capsulecrm.com.
    token
        API token. It is sent to the server and shown nowhere.
    api_version
        ``"v2"`` (JSON, what live accounts answer) or ``"v1"`` (XML).
    base_url
        Another server than Capsule's, such as the sandbox. Plain http only on loopback.
    timeout
        Seconds within which one request must succeed, its retries included: headers and body,
        however slowly they come. Waits for the request limit come on top.
    max_wait
        Seconds that one request may wait for the server's request limit to reset, altogether.
    on_wait
        Called when such a wait begins, with the local time at which the limit resets.

    Raises
    ------
    ArgumentError
        If neither or an impossible account or URL is given, the token cannot be one, or a time
        is not within a day.
    """

    def __init__(
        self,
        account: str | None = None,
        token: str = "",
        *,
        api_version: str = "v2",
        base_url: str | None = None,
        timeout: float = 60.0,
        max_wait: float = 3600.0,
        on_wait: Callable[[datetime], None] | None = None,
    ) -> None:
        named = account and account.isascii() and account.replace("-", "").isalnum()
        if not base_url and not named:
            raise ArgumentError(
                "give the account's subdomain (letters, digits and hyphens), or a base_url"
            )
        self.api: Api = api_of(api_version)
        self.api_version = api_version
        root = self.api.root(account, base_url.rstrip("/") if base_url else None)
        self.transport = Transport(
            self.api, root, token, timeout=timeout, max_wait=max_wait, on_wait=on_wait
        )
        self.account = account or urlsplit(self.transport.root).netloc
        self._milestones: list[Record] | None = None
        self._currencies: list[str] | None = None

    def __repr__(self) -> str:
        """Show where it connects, never the token."""
        return f"<CapsuleClient {self.api_version} of {self.account}>"

    def __enter__(self) -> Self:
        """Return the client; leaving the block closes its connections."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    # Reading

    def get_opportunity(self, opportunity_id: int, *, embed: Sequence[str] = ()) -> Record:
        """Return one opportunity.

        Parameters
        ----------
        opportunity_id
            Its id.
        embed
            ``"tags"`` and ``"fields"`` add those (API v2).

        Raises
        ------
        NotFoundError
            If there is none of that id.
        """
        request = self.api.get(_identity(opportunity_id), embed)
        raw = self.transport.call(request, lambda body, _: self.api.parse_opportunity(body))
        return typed_record(raw)

    def list_opportunities(
        self,
        *,
        start: int = 0,
        limit: int = _MOST,
        milestone: str | None = None,
        tag: str | None = None,
        owner: str | None = None,
        changed_since: datetime | None = None,
        embed: Sequence[str] = (),
    ) -> list[Record]:
        """Return one page of opportunities; `load_pipeline` reads them all.

        A server may give fewer than `limit` before the end: only an empty page is the end.

        Parameters
        ----------
        start
            Number of the first record, from 0; with API v2 a multiple of `limit`.
        limit
            Most records to return, 1 to 100.
        milestone
            Only those at the milestone of this name.
        tag
            Only those with this tag.
        owner
            Only those of the owner with this user name (API v2).
        changed_since
            Only those created or updated since; a naive time is UTC.
        embed
            ``"tags"`` and ``"fields"`` add those (API v2).
        """
        query = Query(milestone, tag, owner, as_utc(changed_since), None, tuple(embed))
        return self._list(query, start, limit)

    def list_party_opportunities(
        self, party_id: int, *, start: int = 0, limit: int = _MOST
    ) -> list[Record]:
        """Return one page of the opportunities of a person or organisation."""
        return self._list(Query(party_id=_identity(party_id)), start, limit)

    def _list(self, query: Query, start: int, limit: int) -> list[Record]:
        if start < 0 or not 1 <= limit <= _MOST:
            raise ArgumentError(f"start must be 0 or more and limit 1 to {_MOST}")
        query = self.resolve(query)
        columns = self.fetch_page(query, self.api.position(start, limit), limit).columns
        rows = zip(*columns.values(), strict=True)
        return [typed_record(dict(zip(columns, row, strict=True))) for row in rows]

    def fetch_page(
        self,
        query: Query,
        position: int,
        limit: int,
        keep: Callable[[bytes, Mapping[str, str]], None] | None = None,
    ) -> Page:
        """Return one raw page.

        Parameters
        ----------
        query
            Which list, as `resolve` returns it.
        position
            Where the page begins, in the wire format's own unit.
        limit
            Most records to return.
        keep
            Receives body and headers of the answer once it could be read.
        """

        def parse(body: bytes, headers: Mapping[str, str]) -> Page:
            page = self.api.parse_page(body, headers)
            if keep is not None:
                keep(body, headers)
            return page

        return self.transport.call(self.api.list_page(query, position, limit), parse)

    def resolve(self, query: Query) -> Query:
        """Check a query's milestone against the account, and turn its owner into an id."""
        if query.milestone is not None:
            _one_of("milestone", query.milestone, [m["name"] for m in self.list_milestones()])
        if query.owner is not None and "owner" in self.api.SERVER_FILTERS:
            ids = {user["username"]: user["id"] for user in self.list_users()}
            _one_of("owner", query.owner, list(ids))
            return query._replace(owner=ids[query.owner])
        return query

    def list_deleted(self, since: datetime) -> list[Record]:
        """Return what was deleted since a time: ``id`` and ``deleted_at``.

        Parameters
        ----------
        since
            A naive time is UTC.
        """
        return [typed_record(record) for record in self.fetch_deleted(since).records]

    def list_restricted(self, since: datetime) -> list[Record]:
        """Return what the token may no longer see (API v2): ``id`` and ``deleted_at``."""
        return [typed_record(record) for record in self.fetch_deleted(since).restricted]

    def fetch_deleted(self, since: datetime) -> Deleted:
        """Return all raw deletions since a time."""
        gone: list[Record] = []
        hidden: list[Record] = []
        moment = as_utc(since)
        for position in _positions():
            page = self.transport.call(self.api.deleted(moment, position), self.api.parse_deleted)
            # Every page repeats all of these.
            hidden += [record for record in page.restricted if record not in hidden]
            if all(record in gone for record in page.records):
                break
            gone += page.records
            if page.more is False:
                break
        return Deleted(gone, hidden, more=False)

    def list_milestones(self) -> list[Record]:
        """Return the milestones.

        Returns
        -------
        A record each: ``id``, ``name``, ``description``, ``probability`` in percent,
        ``complete``, and ``pipeline`` where the API has it.
        """
        if self._milestones is None:
            self._milestones = self.fetch_milestones()
        return [typed_record(milestone) for milestone in self._milestones]

    def fetch_milestones(self) -> list[Record]:
        """Return the raw milestone configuration, asked anew."""
        return self._all_pages(self.api.milestones, self.api.parse_milestones)

    def list_currencies(self) -> list[str]:
        """Return the currencies of the account, ISO 4217."""
        if self._currencies is None:
            request = self.api.currencies()
            self._currencies = self.transport.call(
                request, lambda body, _: self.api.parse_currencies(body)
            )
        return list(self._currencies)

    def list_opportunity_parties(self, opportunity_id: int) -> list[Record]:
        """Return the additional contacts: ``id``, ``type``, ``name``."""
        request = self.api.parties(_identity(opportunity_id))
        found = self.transport.call(request, lambda body, _: self.api.parse_parties(body))
        return [typed_record(party) for party in found]

    def list_pipelines(self) -> list[Record]:
        """Return the pipelines (API v2); none for an account without."""
        try:
            return self._named(_v2.pipelines, "pipelines")
        except NotFoundError:
            return []

    def list_lost_reasons(self) -> list[Record]:
        """Return the reasons for losing (API v2): ``id``, ``name``."""
        return self._named(_v2.lost_reasons, "lostReasons")

    def list_users(self) -> list[Record]:
        """Return the users (API v2): ``id``, ``username``, ``name``."""
        return self._named(lambda _: _v2.users(), "users")

    def list_goals(self) -> list[Record]:
        """Return the goals (API v2), as they came: `targets.from_goals` makes targets of them."""
        return self._named(_v2.goals, "goals")

    def list_goal_periods(self, goal_id: int) -> list[Record]:
        """Return the periods of a goal (API v2), as they came."""
        return self._named(lambda position: _v2.goal_periods(goal_id, position), "goalPeriods")

    def _named(self, request: Callable[[int], Request], key: str) -> list[Record]:
        if self.api_version != "v2":
            raise ArgumentError("only API v2 has pipelines, users and lost reasons")
        return self._all_pages(request, lambda body, headers: _v2.parse_named(body, headers, key))

    def _all_pages(
        self,
        request: Callable[[int], Request],
        parse: Callable[[bytes, Mapping[str, str]], tuple[list[Record], bool]],
    ) -> list[Record]:
        found: list[Record] = []
        for position in _positions():
            page, more = self.transport.call(request(position), parse)
            fresh = [record for record in page if record not in found]
            found += fresh
            if not more or not fresh:
                break
        return found

    # Writing

    def create_opportunity(self, party_id: int, **fields: Any) -> int:  # noqa: ANN401
        """Create an opportunity under a party.

        Parameters
        ----------
        party_id
            Id of the person or organisation.
        **fields
            ``name`` and ``milestone`` are required; ``description``, ``currency``, ``value``
            (per unit of ``duration_basis``; int, Decimal, or text), ``duration_basis``,
            ``duration`` (required unless the basis is FIXED), ``expected_close``
            (`datetime.date`), ``probability`` (percent), ``owner`` (user name).

        Returns
        -------
        The new id.

        Raises
        ------
        ArgumentError
            Before anything is sent, if a field is unknown, missing or has a value that the
            account does not know.
        """
        fields = {"name": None, "milestone": None, **fields}
        checked = self._checked(fields, current_basis="FIXED", current_duration=None)
        request = self.api.create(_identity(party_id), checked)
        return self.transport.call(request, self.api.parse_created)

    def update_opportunity(
        self,
        opportunity_id: int,
        *,
        party_id: int | None = None,
        **fields: Any,  # noqa: ANN401
    ) -> None:
        """Change an opportunity; what is not given stays as it is.

        Parameters
        ----------
        opportunity_id
            Its id.
        party_id
            Moves it to this person or organisation.
        **fields
            As for `create_opportunity`, none required; None empties a field, though a name and
            a milestone must stay.

        Raises
        ------
        ArgumentError
            Before anything is changed, as for `create_opportunity`.
        """
        if not fields and party_id is None:
            raise ArgumentError("nothing to update was given")
        basis, duration = "FIXED", None
        if {"duration_basis", "duration"} & fields.keys():
            current = self.get_opportunity(opportunity_id)
            basis, duration = current["duration_basis"] or "FIXED", current["duration"]
        checked = self._checked(fields, current_basis=basis, current_duration=duration)
        request = self.api.update(
            _identity(opportunity_id), None if party_id is None else _identity(party_id), checked
        )
        self.transport.call(request, lambda *_: None)

    def delete_opportunity(self, opportunity_id: int) -> None:
        """Delete an opportunity."""
        self.transport.call(self.api.delete(_identity(opportunity_id)), lambda *_: None)

    def _checked(
        self, fields: Mapping[str, Any], *, current_basis: str, current_duration: int | None
    ) -> dict[str, Any]:
        """Refuse what the account would not know, naming what it does."""
        _field_names(fields, sorted(self.api.FIELDS))
        checked = dict(fields)
        if (milestone := fields.get("milestone")) is not None:
            checked["milestone"] = self._milestone(milestone)
        if (currency := fields.get("currency")) is not None:
            _one_of("currency", currency, self.list_currencies())
        basis = fields.get("duration_basis", current_basis) or "FIXED"
        _one_of("duration_basis", basis, self.api.DURATION_BASES)
        duration = fields.get("duration", current_duration)
        if basis != "FIXED" and duration is None:
            raise ArgumentError(f"duration is required when duration_basis is {basis}")
        if "duration" in fields and duration is not None:
            checked["duration"] = _whole("duration", duration, 0, None)
        if fields.get("probability") is not None:
            checked["probability"] = _whole("probability", fields["probability"], 0, 100)
        if fields.get("value") is not None:
            checked["value"] = exact_amount(fields["value"])
        close = fields.get("expected_close")
        if close is not None and (isinstance(close, datetime) or not isinstance(close, date)):
            raise ArgumentError(f"expected_close must be a datetime.date, not {close!r}")
        return checked

    def _milestone(self, name: str) -> str | int:
        """Return what the wire names a milestone by: its id in v2, where names can repeat."""
        milestones = self.list_milestones()
        _one_of("milestone", name, [milestone["name"] for milestone in milestones])
        if not self.api.TYPED:
            return name
        ids = [milestone["id"] for milestone in milestones if milestone["name"] == name]
        if len(ids) > 1:
            raise ArgumentError(f"several pipelines have a milestone {name!r}")
        found: int = ids[0]
        return found


def _positions() -> Iterator[int]:
    """Yield the pages of a small resource, whose number no account exceeds."""
    return iter(range(1, 1000))


def _identity(value: int) -> int:
    """Refuse what is no id before it becomes part of a path."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ArgumentError(f"an id must be a whole number, not {value!r}")
    return value


def _field_names(fields: Mapping[str, Any], valid: Sequence[str]) -> None:
    for name in fields:
        _one_of("field", name, valid)
    for required in ("name", "milestone"):
        if not fields.get(required, required):
            raise ArgumentError(f"an opportunity needs a {required}")


def _one_of(what: str, value: object, options: Sequence[str]) -> None:
    if value not in options:
        valid = ", ".join(str(option) for option in options)
        raise ArgumentError(f"unknown {what} {value!r}; valid are {valid}")


def _whole(name: str, value: object, least: int, most: int | None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentError(f"{name} must be a whole number, not {value!r}")
    if value < least or (most is not None and value > most):
        span = f"{least} or more" if most is None else f"{least} to {most}"
        raise ArgumentError(f"{name} must be {span}, not {value}")
    return value
