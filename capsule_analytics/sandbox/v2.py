"""API v2 of the sandbox: JSON under ``/api/v2``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
from flask import Response, request
from werkzeug.exceptions import BadRequest, NotFound

from .account import timestamp
from .filters import search
from .rules import Problem, Record, ValidationError

if TYPE_CHECKING:
    from .account import Account, Order

DEFAULT_PER_PAGE = 50
MOST_PER_PAGE = 100
# What a record shows only when asked to.
EMBEDDED = ("tags", "fields", "missingImportantFields")


def answer(body: object, status: int = 200) -> Response:
    """Build an answer in JSON.

    Parameters
    ----------
    body
        What JSON can hold.
    status
        The HTTP status.
    """
    return Response(orjson.dumps(body), status, content_type="application/json;charset=UTF-8")


def refusal(status: int, message: str, problems: Sequence[Problem] = ()) -> Response:
    """Build the answer to a request that is refused.

    Parameters
    ----------
    status
        The HTTP status.
    message
        What was wrong with the request.
    problems
        What was wrong with each field, if anything was.
    """
    body: dict[str, Any] = {"message": message}
    if problems:
        body["errors"] = [
            {"message": problem.message, "resource": "opportunity", "field": problem.field}
            for problem in problems
        ]
    return answer(body, status)


class V2:
    """The calls of API v2 on one account.

    Parameters
    ----------
    account
        The account that is served.
    page_limit
        The most records in one answer; never more than 100.
    order
        The order of lists.
    """

    def __init__(self, account: Account, page_limit: int, order: Order) -> None:
        self.account = account
        self.page_limit = min(page_limit, MOST_PER_PAGE)
        self.order = order
        self._rendered: dict[tuple[int, tuple[str, ...]], tuple[Record, bytes]] = {}

    def routes(self) -> list[tuple[str, str, Callable[..., Response]]]:
        """List the calls: method, path and view."""
        return [
            ("GET", "/api/v2/opportunities", self.list_all),
            ("POST", "/api/v2/opportunities", self.create),
            ("GET", "/api/v2/opportunities/<int:number>", self.show),
            ("PUT", "/api/v2/opportunities/<int:number>", self.update),
            ("DELETE", "/api/v2/opportunities/<int:number>", self.delete),
            ("GET", "/api/v2/opportunities/<numbers>", self.show_several),
            ("GET", "/api/v2/opportunities/<int:number>/parties", self.contacts),
            ("GET", "/api/v2/opportunities/deleted", self.deleted),
            ("GET", "/api/v2/opportunities/tags", self._rows("tags", "tags")),
            ("POST", "/api/v2/opportunities/filters/results", self.search),
            ("GET", "/api/v2/parties/<int:party>/opportunities", self.list_by_party),
            ("GET", "/api/v2/milestones", self._rows("milestones", "milestones")),
            ("GET", "/api/v2/pipelines", self._rows("pipelines", "pipelines")),
            ("GET", "/api/v2/pipelines/<int:pipeline>/milestones", self.pipeline_milestones),
            ("GET", "/api/v2/lostreasons", self._rows("lostReasons", "lost_reasons")),
            ("GET", "/api/v2/users", self._rows("users", "users")),
            ("GET", "/api/v2/users/current", self.current_user),
            ("GET", "/api/v2/currencies", self.currencies),
        ]

    def list_all(self) -> Response:
        """Answer a page of the opportunities, those changed after ``since`` if it is sent."""
        since = _since()
        if since is None:
            return self._page(self.account.opportunities(self.order))
        changed = self.account.opportunities(
            self.order,
            key=("v2", since),
            where=lambda record: str(record.get("updatedAt") or "") > since,
        )
        return self._page(changed)

    def list_by_party(self, party: int) -> Response:
        """Answer the opportunities of a party, those it is an additional contact of included."""
        if party not in self.account.parties:
            raise NotFound("Could not find resource")
        contacts = self.account.contacts
        records = self.account.opportunities(
            self.order,
            where=lambda record: (
                (record.get("party") or {}).get("id") == party
                or party in contacts.get(record["id"], ())
            ),
        )
        return self._page(records)

    def show(self, number: int) -> Response:
        """Answer one opportunity."""
        return self._one(self._record(number))

    def show_several(self, numbers: str) -> Response:
        """Answer up to ten opportunities by their ids, joined by commas; unknown ids are left out.

        Parameters
        ----------
        numbers
            The ids as they stand in the path.
        """
        ids = numbers.split(",")
        if len(ids) > 10 or not all(part.isdecimal() for part in ids):  # noqa: PLR2004
            raise NotFound("Could not find resource")
        found = [self.account.get(int(part)) for part in ids]
        return self._several([record for record in found if record is not None])

    def create(self) -> Response:
        """Add an opportunity."""
        return self._one(self.account.create(_body("opportunity")), 201)

    def update(self, number: int) -> Response:
        """Change the fields that are sent."""
        self._record(number)
        return self._one(self.account.update(number, _body("opportunity")))

    def delete(self, number: int) -> Response:
        """Delete an opportunity."""
        self._record(number)
        self.account.delete(number)
        return Response(status=204)

    def deleted(self) -> Response:
        """Answer what was deleted, and what was taken out of sight, after ``since``.

        All come in one answer unless a page is asked for: the call is not documented as paged.
        """
        since = _since() or ""
        gone = [row for row in list(self.account.deleted) if str(row["deletedAt"]) > since]
        hidden = [row for row in list(self.account.restricted) if str(row["restrictedAt"]) > since]
        if "page" not in request.args:
            return _gone(gone, hidden)
        page, more = self._cut(gone)
        return _paged(_gone(page, hidden), more)

    def contacts(self, number: int) -> Response:
        """Answer the additional contacts of an opportunity."""
        self._record(number)
        known = self.account.parties
        joined = self.account.contacts.get(number, [])
        return answer({"parties": [known[key] for key in joined if key in known]})

    def search(self) -> Response:
        """Answer a page of the opportunities that a filter describes."""
        return self._page(search(self.account, _body("filter"), self.account.clock()))

    def pipeline_milestones(self, pipeline: int) -> Response:
        """Answer the milestones of one pipeline."""
        rows = [
            row
            for row in self.account.milestones
            if (row.get("pipeline") or {}).get("id") == pipeline
        ]
        return self._listed("milestones", rows)

    def current_user(self) -> Response:
        """Answer the user whom the token belongs to."""
        return answer({"user": self.account.default_user})

    def currencies(self) -> Response:
        """Answer the currency codes."""
        return answer({"currencies": [{"code": code} for code in self.account.currencies]})

    def _rows(self, name: str, attribute: str) -> Callable[[], Response]:
        def view() -> Response:
            rows = getattr(self.account, attribute)
            if name == "users":
                rows = [{**row, "status": "active"} for row in rows]
            return self._listed(name, rows)

        view.__name__ = f"list_{attribute}"
        return view

    def _listed(self, name: str, rows: list[Record]) -> Response:
        page, more = self._cut(rows)
        return _paged(answer({name: page}), more)

    def _page(self, records: Sequence[Record]) -> Response:
        page, more = self._cut(records)
        return _paged(self._several(page), more)

    def _cut(self, rows: Sequence[Record]) -> tuple[Sequence[Record], bool]:
        """Take the page asked for, and say whether there is another."""
        page = _within("page", 1)
        per_page = min(_within("perPage", DEFAULT_PER_PAGE, MOST_PER_PAGE), self.page_limit)
        end = page * per_page
        return rows[end - per_page : end], end < len(rows)

    def _one(self, record: Record, status: int = 200) -> Response:
        response = answer(None, status)
        response.set_data(b'{"opportunity":' + self._render(record, _embed()) + b"}")
        return response

    def _several(self, records: Sequence[Record]) -> Response:
        embed = _embed()
        parts = [self._render(record, embed) for record in records]
        response = answer(None)
        response.set_data(b'{"opportunities":[' + b",".join(parts) + b"]}")
        return response

    def _render(self, record: Record, embed: tuple[str, ...]) -> bytes:
        key = (record["id"], embed)
        kept = self._rendered.get(key)
        if kept is None or kept[0] is not record:
            shown = {name: value for name, value in record.items() if name not in EMBEDDED}
            for name in embed:
                shown[name] = record.get(name) or ([] if name in {"tags", "fields"} else False)
            kept = (record, orjson.dumps(shown))
            self._rendered[key] = kept
        return kept[1]

    def _record(self, number: int) -> Record:
        record = self.account.get(number)
        if record is None:
            raise NotFound("Could not find resource")
        return record


def _gone(deleted: Sequence[Record], restricted: Sequence[Record]) -> Response:
    body = {"opportunities": deleted}
    if restricted:
        body["restrictedOpportunities"] = restricted
    return answer(body)


def _paged(response: Response, more: bool) -> Response:
    response.headers["X-Pagination-Has-More"] = "true" if more else "false"
    if more:
        query = dict(request.args)
        query["page"] = str(_within("page", 1) + 1)
        response.headers["Link"] = f'<{request.base_url}?{urlencode(query)}>; rel="next"'
    return response


def _within(name: str, default: int, most: int | None = None) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < 1 or (most is not None and int(text) > most):
        limits = "at least 1" if most is None else f"between 1 and {most}"
        raise BadRequest(f"{name} must be {limits}")
    return int(text)


def _since() -> str | None:
    text = request.args.get("since")
    if text is None:
        return None
    # A "+" that was not escaped arrives as a blank.
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise BadRequest("since must be a date or time in ISO 8601") from error
    return timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _embed() -> tuple[str, ...]:
    asked = set(request.args.get("embed", "").split(","))
    return tuple(name for name in EMBEDDED if name in asked)


def _body(name: str) -> Mapping[str, Any]:
    """Read the object that the request carries under a name."""
    try:
        body = orjson.loads(request.get_data())
    except orjson.JSONDecodeError as error:
        raise BadRequest("The request body is not JSON") from error
    inner = body.get(name) if isinstance(body, dict) else None
    if not isinstance(inner, Mapping):
        raise ValidationError([Problem(name, f"{name} is required")])
    return inner
