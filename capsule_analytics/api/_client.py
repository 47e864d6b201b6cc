"""`CapsuleClient`: every call of Capsule's Opportunity API, read and write, in either version."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from capsule_analytics.errors import ApiError, ArgumentError, CompletenessError

from . import _v1, _v2
from ._protocol import MAX_CONNECTIONS, Deleted, Page, Query, Record, Request, TooManyValuesError
from ._records import as_utc, exact_amount, typed_record

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from ._protocol import Api, RawColumns

_APIS: dict[str, Api] = {"v1": _v1, "v2": _v2}  # type: ignore[dict-item] # modules as protocols


def api_of(version: str) -> Api:
    """Return the twin that speaks a version of the API."""
    if version not in _APIS:
        raise ArgumentError(f"api_version must be one of v1, v2, not {version!r}")
    return _APIS[version]


_NO_SUCH_CALL = frozenset({400, 404, 405, 410, 422, 501})
"""How servers answer a call that they do not know."""

_MOST_ASKED = 500
"""Single milestones that are asked for, at most: no account has as many that no list names."""

_MOST_LISTED = 100_000
"""Records of a list other than that of the deals: with more, the next page is not asked for."""

_MOST = 100
"""Most records that the API gives in one page."""

_PARTS_A_RECORD = 2_000  # objects, lists or elements: a hundred times those of a large record
_LEAST_RECORDS = 10


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
        from ._transport import Transport  # noqa: PLC0415 - requests, which the sample needs not

        possible = account and account.isascii() and account.replace("-", "").isalnum()
        if not base_url and not possible:
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
        self._of_account = bool(account)
        self._milestones: list[Record] | None = None
        self._currencies: list[str] | None = None
        self._archived: frozenset[int] = frozenset()

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
            _bounded(body, limit)
            page = self.api.parse_page(body, headers)
            if keep is not None:
                keep(body, headers)
            return page

        return self.transport.call(self.api.list_page(query, position, limit), parse)

    def resolve(self, query: Query) -> Query:
        """Check a query's milestone against the account, and turn its owner into an id."""
        if query.milestone is not None:
            _one_of("milestone", query.milestone, [m["name"] for m in self.list_milestones()])
        if isinstance(query.owner, str) and "owner" in self.api.SERVER_FILTERS:
            return query._replace(owner=self._user(query.owner))
        return query

    def _user(self, name: str | int) -> int:
        """Return the id of a user, who may be named by it too."""
        ids = {user["username"]: user["id"] for user in self.list_users()}
        if name in ids.values() and not isinstance(name, bool):
            return int(name)
        _one_of("owner", name, list(ids))
        found: int = ids[str(name)]
        return found

    def list_deleted(self, since: datetime) -> list[Record]:
        """Return what was deleted since a time: ``id`` and ``deleted_at``.

        Parameters
        ----------
        since
            A naive time is UTC.
        """
        return [typed_record(record) for record in self.fetch_deleted(since).records]

    def list_restricted(self, since: datetime) -> list[Record]:
        """Return what the token may no longer see (API v2): ``id``, and ``deleted_at`` as None.

        Capsule does not tell since when.
        """
        return [typed_record(record) for record in self.fetch_deleted(since).restricted]

    def fetch_deleted(self, since: datetime) -> Deleted:
        """Return all raw deletions since a time."""
        gone: dict[str, Record] = {}
        hidden: dict[str, Record] = {}
        moment = as_utc(since)
        for position in _positions(gone):
            page = self.transport.call(self.api.deleted(moment, position), self.api.parse_deleted)
            hidden |= {repr(record): record for record in page.restricted}  # all on every page
            known = len(gone)
            gone |= {repr(record): record for record in page.records}
            if page.more is False or len(gone) == known:
                break
        return Deleted(list(gone.values()), list(hidden.values()), more=False)

    def fetch_shown(self, ids: Iterable[int], embed: Sequence[str] = ()) -> dict[int, RawColumns]:
        """Ask for opportunities one by one, and return as raw pages those that the token may see.

        Parameters
        ----------
        ids
            Their ids.
        embed
            As for `get_opportunity`.
        """
        hidden = {403, 404, 410}

        def show(number: int) -> RawColumns | None:
            request = self.api.get(_identity(number), embed)
            try:
                raw = self.transport.call(request, lambda body, _: self.api.parse_opportunity(body))
            except ApiError as error:
                if error.status in hidden:
                    return None
                raise
            return {name: [value] for name, value in raw.items()}

        asked = list(ids)
        answers = zip(asked, self.at_once(show, asked), strict=True)
        return {number: page for number, page in answers if page is not None}

    def list_milestones(self) -> list[Record]:
        """Return the milestones of every pipeline, those of active pipelines first.

        Returns
        -------
        A record each: ``id``, ``name``, ``description``, ``probability`` in percent,
        ``complete``, and with API v2 ``pipeline``, ``pipeline_id``, ``days_until_stale`` and
        ``archived``.
        """
        if self._milestones is None:
            self._milestones = self.fetch_milestones()
        return [typed_record(milestone) for milestone in self._milestones]

    def fetch_milestones(self, pipelines: Sequence[Record] | None = None) -> list[Record]:
        """Return the raw milestones of every pipeline, asked anew.

        Capsule's list of milestones knows one pipeline, so each is asked for its own; the list is
        for servers that know no pipelines, or not this one any more.

        Parameters
        ----------
        pipelines
            As `fetch_pipelines` has just returned them; None asks for them.
        """
        if self.api_version == "v1":
            return self._all_pages(self.api.milestones, self.api.parse_milestones)
        pipelines = self.fetch_pipelines() if pipelines is None else pipelines
        lists = self.at_once(self._milestones_of, pipelines)
        found = [record for listed in lists for record in listed or []]
        if not pipelines:
            found = self._all_pages(self.api.milestones, self.api.parse_milestones)
        elif None in lists:
            listed = self._if_known(_v2.milestones, self.api.parse_milestones) or []
            found += [record for record in listed if record["pipeline_id"] is not None]
        once: dict[object, Record] = {}
        for number, record in enumerate(found):
            once.setdefault(_key(record, number), record)
        return list(once.values())

    def fetch_pipelines(self) -> list[Record]:
        """Return id, name and whether it is archived of each pipeline, the archived last."""

        def named(body: bytes, headers: Mapping[str, str]) -> tuple[list[Record], bool]:
            return _v2.parse_named(body, headers, "pipelines")

        found = self._if_known(_v2.all_pipelines, named) or []
        found = [record for record in found if isinstance(record.get("id"), int)]
        archived: set[int] = {record["id"] for record in found if _v2.is_archived(record)}
        if found and not archived:  # or there is no mark: what the usual list lacks is archived
            active = [record.get("id") for record in self._if_known(_v2.pipelines, named) or found]
            archived = {record["id"] for record in found if record["id"] not in active}
        self._archived = frozenset(archived)
        return sorted(found, key=lambda record: record["id"] in archived)

    def _milestones_of(self, pipeline: Record) -> list[Record] | None:
        """Return a pipeline's milestones; None if the server does not tell them."""
        listed = self._if_known(
            lambda position: _v2.milestones_of(pipeline["id"], position), self.api.parse_milestones
        )
        if listed is None:
            return None
        own = {"pipeline": pipeline.get("name"), "pipeline_id": pipeline["id"]}
        gone = pipeline["id"] in self._archived
        return [{**record, **own, "archived": record["archived"] or gone} for record in listed]

    def fetch_milestones_by_id(self, ids: Iterable[int], known: Sequence[Record]) -> list[Record]:
        """Return raw milestones that no pipeline's list had, as far as the server tells.

        Parameters
        ----------
        ids
            Ids that opportunities refer to.
        known
            What `fetch_milestones` returned.

        Returns
        -------
        Those found. One that its pipeline does not list, though others are listed, was deleted.
        """
        if self.api_version == "v1":
            return []
        missing = sorted(set(ids) - {record["id"] for record in known})
        found: list[Record] = []
        if len(missing) > 1:
            every = self._if_known(_v2.milestones_of_all, self.api.parse_milestones) or []
            found = [record for record in every if record["id"] in missing]
        missing = sorted(set(missing) - {record["id"] for record in found})[:_MOST_ASKED]
        found += [record for record in self.at_once(self._milestone_of, missing) if record]
        listed = {record["pipeline_id"] for record in known}
        return [
            {
                **record,
                "archived": record["archived"]
                or record["pipeline_id"] in listed
                or record["pipeline_id"] in self._archived,
            }
            for record in found
        ]

    def _milestone_of(self, milestone_id: int) -> Record | None:
        """Return one milestone; None if the server does not tell it, or tells another."""
        try:
            found = self.transport.call(
                _v2.milestone(milestone_id), lambda body, _: _v2.parse_milestone(body)
            )
        except ApiError as error:
            if error.status in _NO_SUCH_CALL:
                return None
            raise
        return found if found["id"] == milestone_id else None

    def at_once(self, call: Callable[[Any], Any], over: Sequence[Any]) -> list[Any]:
        """Make several calls at the same time; the first that fails ends them all."""
        pool = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix="capsule-reference")
        try:
            done = list(pool.map(call, over))
        except BaseException:
            self.transport.interrupt()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
        return done

    def _if_known(
        self,
        request: Callable[[int], Request],
        parse: Callable[[bytes, Mapping[str, str]], tuple[list[Record], bool]],
    ) -> list[Record] | None:
        """Return all pages of a resource; None from a server that does not have it."""
        try:
            return self._all_pages(request, parse)
        except ApiError as error:
            if error.status in _NO_SUCH_CALL:
                return None
            raise

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
        """Return the pipelines (API v2), archived ones too; none for an account without.

        Returns
        -------
        A record each, as it came with ``id`` and ``name``, and ``archived``.
        """
        self._needs_v2()
        return [
            {**record, "archived": record["id"] in self._archived}
            for record in self.fetch_pipelines()
        ]

    def list_lost_reasons(self) -> list[Record]:
        """Return the reasons for losing (API v2): ``id``, ``name``, ``includedForConversion``."""
        return self._named(_v2.lost_reasons, "lostReasons")

    def list_teams(self) -> list[Record]:
        """Return the teams (API v2): ``id``, ``name``."""
        return self._named(_v2.teams, "teams")

    def list_field_definitions(self) -> list[Record]:
        """Return the definitions of custom fields (API v2): ``id``, ``name``, ``type``, ``tag``."""
        return self._named(_v2.field_definitions, "definitions")

    def fetch_reference(self, what: str) -> list[Record]:
        """Return raw ``lostReasons``, ``users``, ``teams`` or field ``definitions``.

        Returns
        -------
        None of them from v1, or from a server that does not have them.
        """
        if self.api_version == "v1":
            return []
        request: Callable[[int], Request] = {
            "lostReasons": _v2.lost_reasons,
            "users": lambda _: _v2.users(),
            "teams": _v2.teams,
            "definitions": _v2.field_definitions,
        }[what]
        return self._if_known(request, lambda b, headers: _v2.parse_named(b, headers, what)) or []

    def check_account(self) -> None:
        """Make sure that the token is one of the account (API v2).

        Over API v2 every account is reached at one address, and the token alone says whose deals
        are answered. Nothing is checked of a client that was given no account, nor of a server that
        does not tell.

        Raises
        ------
        ArgumentError
            If the token is another account's.
        """
        if self.api_version == "v1" or not self._of_account:
            return
        site = self._if_known(lambda _: _v2.site(), lambda body, _: ([_v2.parse_site(body)], False))
        found = str(site[0].get("subdomain") or "") if site else ""
        if found and found.lower() != self.account.lower():
            raise ArgumentError(
                f"the token is one of the account {found!r}, not of {self.account!r}"
            )

    def totals(self, conditions: Sequence[Mapping[str, Any]] = ()) -> Record | None:
        """Return what Capsule itself adds up (API v2).

        The call is not documented, but Capsule's own client makes it.

        Parameters
        ----------
        conditions
            As Capsule's filters have them: ``{"field": "isOpen", "operator": "is", "value":
            True}``. All of them must hold; none means every opportunity.

        Returns
        -------
        ``total_value`` and ``projected_value``, exact, and the ``currency`` that they are in
        where that is told; None from a server that does not add up.
        """
        if self.api_version == "v1":
            return None
        try:
            raw = self.transport.call(
                _v2.totals(conditions), lambda body, _: _v2.parse_totals(body)
            )
        except ApiError as error:
            if error.status in _NO_SUCH_CALL:
                return None
            raise
        return typed_record(raw)

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
        self._needs_v2()
        return self._all_pages(request, lambda body, headers: _v2.parse_named(body, headers, key))

    def _needs_v2(self) -> None:
        if self.api_version != "v2":
            raise ArgumentError("only API v2 has pipelines, users and lost reasons")

    def _all_pages(
        self,
        request: Callable[[int], Request],
        parse: Callable[[bytes, Mapping[str, str]], tuple[list[Record], bool]],
    ) -> list[Record]:
        found: dict[str, Record] = {}
        for position in _positions(found):
            page, more = self.transport.call(request(position), parse)
            known = len(found)
            found |= {repr(record): record for record in page}
            if not more or len(found) == known:
                break
        return list(found.values())

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
            (`datetime.date`), ``probability`` (percent; not with a milestone that closes),
            ``owner`` (user name). With API v2 a value needs its currency, the milestone may be
            an id, which it must be where pipelines have one of the same name, ``owner`` may be
            an id too, and ``team`` is a team's name or id.

        Returns
        -------
        The new id.

        Raises
        ------
        ArgumentError
            Before anything is sent, if a field is unknown, missing or has a value that the
            account does not know, or if Capsule would refuse what belongs together.
        """
        party = _identity(party_id)
        checked = self._checked({"name": None, "milestone": None, **fields}, {})
        request = self.api.create(party, checked)
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
            a milestone must stay. With API v2, an owner that is given without a team takes the
            team away, so where there is one, say what becomes of it.

        Raises
        ------
        ArgumentError
            Before anything is changed, as for `create_opportunity`.
        """
        if not fields and party_id is None:
            raise ArgumentError("nothing to update was given")
        number, party = _identity(opportunity_id), None if party_id is None else _identity(party_id)
        touchy = {"duration_basis", "duration"}
        if self.api_version == "v2":
            touchy |= {"value", "probability", "owner", "team", "milestone"}
        _field_names(fields, sorted(self.api.FIELDS))
        current = self.get_opportunity(number) if touchy & fields.keys() else {}
        checked = self._checked(fields, current)
        self.transport.call(self.api.update(number, party, checked), lambda *_: None)

    def delete_opportunity(self, opportunity_id: int) -> None:
        """Delete an opportunity."""
        self.transport.call(self.api.delete(_identity(opportunity_id)), lambda *_: None)

    def _checked(self, fields: Mapping[str, Any], current: Record) -> dict[str, Any]:
        """Refuse what the account would not know, naming what it does."""
        _field_names(fields, sorted(self.api.FIELDS))
        checked = dict(fields)
        if (currency := fields.get("currency")) is not None:
            _one_of("currency", currency, self.list_currencies())
        basis = fields.get("duration_basis", current.get("duration_basis")) or "FIXED"
        _one_of("duration_basis", basis, self.api.DURATION_BASES)
        duration = fields.get("duration", current.get("duration"))
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
        if self.api_version == "v1":
            if (milestone := fields.get("milestone")) is not None:
                names = [one["name"] for one in self.list_milestones()]
                _one_of("milestone", milestone, names)
            return checked
        self._check_together(fields, checked, current)
        return checked

    def _check_together(
        self, fields: Mapping[str, Any], checked: dict[str, Any], current: Record
    ) -> None:
        """Refuse what v2 refuses, or does in silence, and name milestones and people by id."""
        at = current.get("milestone_id")
        if fields.get("milestone") is not None:
            at = checked["milestone"] = self._milestone(fields["milestone"], at)
        if fields.get("value") is not None and fields.get("currency") is None:
            if "currency" in fields or (code := current.get("currency")) is None:
                raise ArgumentError("a value needs its currency: give both")
            checked["currency"] = code
        if fields.get("probability") is not None and self._closes(at):
            raise ArgumentError(
                "the probability of a closed opportunity cannot be set: leave it out, or reopen"
                " the opportunity first"
            )
        if fields.get("owner") is not None:
            checked["owner"] = self._user(fields["owner"])
        if fields.get("team") is not None:
            checked["team"] = self._team(fields["team"])
        if "owner" in fields and "team" not in fields and current.get("team_id") is not None:
            raise ArgumentError(
                "an owner given without a team takes the opportunity from its team"
                f" {current['team']!r}: give team={current['team_id']} to leave it there, or"
                " team=None"
            )
        if {"owner", "team"} & fields.keys() and current:
            after = {"owner": current["owner_id"], "team": current["team_id"], **checked}
            if after["owner"] is None and after["team"] is None:
                raise ArgumentError("an opportunity needs an owner or a team")

    def _milestone(self, wanted: str | int, current: int | None) -> int:
        """Return the id of a milestone that can be moved to.

        Names repeat between pipelines: then that of the opportunity's own pipeline is meant.
        """
        milestones = [one for one in self.list_milestones() if not one["archived"]]
        if isinstance(wanted, int) and not isinstance(wanted, bool):
            _one_of("milestone", wanted, [one["id"] for one in milestones])
            return wanted
        _one_of("milestone", wanted, [one["name"] for one in milestones])
        found = [one for one in milestones if one["name"] == wanted]
        if len(found) > 1:
            of = {one["id"]: one["pipeline_id"] for one in self.list_milestones()}
            here = [one for one in found if current is not None
                    and one["pipeline_id"] == of.get(current)]  # fmt: skip
            if len(here) != 1:
                ids = ", ".join(f"{one['id']} of {one['pipeline']}" for one in found)
                raise ArgumentError(
                    f"several pipelines have a milestone {wanted!r}; give its id: {ids}"
                )
            found = here
        number: int = found[0]["id"]
        return number

    def _closes(self, milestone_id: int | None) -> bool:
        return any(
            one["id"] == milestone_id and one["complete"] is True for one in self.list_milestones()
        )

    def _team(self, name: str | int) -> int:
        """Return the id of a team, which may be named by it too."""
        ids = {team["name"]: team["id"] for team in self.list_teams()}
        if name in ids.values() and not isinstance(name, bool):
            return int(name)
        _one_of("team", name, list(ids))
        found: int = ids[str(name)]
        return found


def _key(record: Record, number: int) -> object:
    """Return what makes a milestone one: its id, or its place where it has none."""
    return record["id"] if isinstance(record.get("id"), int) else f"place {number}"


def _positions(found: Collection[object]) -> Iterator[int]:
    """Yield the pages of a small list, as long as what was `found` can be an account's."""
    for position in range(1, 1000):
        if len(found) > _MOST_LISTED:
            break
        yield position
    raise CompletenessError(f"a list does not end: {len(found):,} records have come")


def _bounded(body: bytes, limit: int) -> None:
    """Refuse, before it is parsed, what would fill the memory with things that nobody asked for."""
    most = _PARTS_A_RECORD * max(limit, _LEAST_RECORDS)
    for mark in (b"{", b"[", b"<"):
        if body.count(mark) > most:
            raise TooManyValuesError(
                f"the answer has more than {most:,} parts, where {limit} records were asked for"
            )


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


def _one_of(what: str, value: object, options: Sequence[object]) -> None:
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
