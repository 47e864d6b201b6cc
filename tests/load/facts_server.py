"""A Capsule over API v2, written from what the real one answers.

It shares no code with the package or its sandbox, so that no mistake can be made on both sides.
What Capsule really does, but nobody has confirmed, can be switched in `Quirks`.
"""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from facts_account import Quirks, Wire, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facts_account import Deal, Facts, Milestone

TOKEN = "facts-token"


class FactsServer:
    """The account, served.

    `asked` has every request as (method, path below /api/v2, query), `worths` every answer of
    /opportunities/value.
    """

    def __init__(self, facts: Facts, quirks: Quirks) -> None:
        self.facts, self.quirks = facts, quirks
        self.say = Wire(facts, quirks)
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.worths: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"

    def times(self, pattern: str) -> int:
        """Count the requests whose path matches."""
        return sum(bool(re.fullmatch(pattern, path)) for _, path, _ in self.asked)

    # Every answer is (status, body, rows' key if it is paged).

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if self.quirks.old and not re.fullmatch(
            r"opportunities(/\d+|/deleted|/filters/results)?|milestones|users|currencies", path
        ):
            return _not_found()
        if method == "POST":
            if path == "opportunities/filters/results":
                return self.deals(self.matching(body), query)
            return (200, self.worth(body)) if path == "opportunities/value" else (405, _NO_METHOD)
        if method != "GET":
            return 405, _NO_METHOD
        name, _, rest = path.partition("/")
        lists = {
            "pipelines": self.pipelines, "milestones": self.milestones, "goals": self.goals,
            "opportunities": self.opportunities, "users": self.users,
        }  # fmt: skip
        if name in lists:
            return lists[name](rest, query)
        return (200, self.plain(name)) if not rest and self.plain(name) else _not_found()

    def plain(self, name: str) -> Any:
        facts, times = self.facts, dict.fromkeys(("createdAt", "updatedAt"), "2024-02-05T08:00:00Z")
        return {
            "site": {"site": {"url": self.url, "subdomain": "facts", "name": "Facts Ltd"}},
            "teams": {"teams": [{"id": n, "name": t} | times for n, t in facts.teams.items()]},
            "currencies": {"currencies": [{"code": c, "symbol": c} for c in _CURRENCIES]},
            "lostreasons": {
                "lostReasons": [
                    {"id": n, "name": name, "includedForConversion": counted} | times
                    for n, (name, counted) in facts.reasons.items()
                ]
            },
        }.get(name)

    def users(self, rest: str, _query: dict[str, str]) -> tuple[int, Any]:
        rows = {
            n: user | {"locale": "en_GB", "currency": "USD", "timezone": "Asia/Tokyo"}
            | {"status": "ACTIVE", "deleted": False, "lastLoginAt": None, "taskReminder": True}
            for n, user in self.facts.users.items()
        }  # fmt: skip
        if not rest:
            return 200, {"users": list(rows.values())}
        number = min(rows) if rest == "current" else int(rest) if rest.isdigit() else -1
        return (200, {"user": rows[number]}) if number in rows else _not_found()

    def pipelines(self, rest: str, query: dict[str, str]) -> tuple[int, Any]:
        lines = self.facts.lines
        if not rest:
            gone = query.get("includeDeleted") == "true"
            shown = [one for one in lines.values() if gone or not one.archived]
            return self.page("pipelines", [self.line(one) for one in shown], query)
        if found := re.fullmatch(r"(\d+)/milestones", rest):
            number = int(found[1])
            if number not in lines or number in self.quirks.vanished:
                return _not_found()
            if lines[number].archived and self.quirks.archived != "listed":
                empty = self.quirks.archived == "empty"
                return self.page("milestones", [], query) if empty else _not_found()
            rows = [self.say.milestone(one) for one in self.listed(number)]
            return self.page("milestones", rows, query)
        ids = [int(one) for one in rest.split(",") if one.isdigit()]
        if not ids or any(n not in lines for n in ids):
            return _not_found()
        rows = [self.line(lines[n]) for n in ids]
        return 200, {"pipeline": rows[0]} if len(ids) == 1 else {"pipelines": rows}

    def line(self, one: Any) -> dict[str, Any]:
        row = {"id": one.id, "name": one.name, "description": None, "createdAt": one.created}
        return row | {"updatedAt": one.created} | ({"isDeleted": True} if one.archived else {})

    def listed(self, number: int) -> list[Milestone]:
        rows = self.facts.milestones.values()
        return [one for one in rows if one.pipeline == number and not one.deleted]

    def milestones(self, rest: str, query: dict[str, str]) -> tuple[int, Any]:
        active = sorted(
            (one for one in self.facts.lines.values() if not one.archived), key=lambda x: x.created
        )
        everything = self.quirks.old in {"ids", "names"}
        if not rest:
            lines = [one.id for one in active] if everything else [active[0].id]
            # The documented example has no pipeline in these rows, live rows do.
            rows = [
                self.say.milestone(one, pipeline=not self.quirks.absent or everything)
                for number in lines
                for one in self.listed(number)
            ]
            return self.page("milestones", rows, query)
        if rest == "all" and self.quirks.milestones_all:
            shown = [*active]
            if self.quirks.archived == "listed":
                shown = list(self.facts.lines.values())
            rows = [self.say.milestone(one) for line in shown for one in self.listed(line.id)]
            return self.page("milestones", rows, query)
        one = self.facts.milestones.get(int(rest)) if rest.isdigit() else None
        if one is None or (one.deleted and not self.quirks.deleted_milestones):
            return _not_found()
        return 200, {"milestone": self.say.milestone(one)}

    def goals(self, rest: str, query: dict[str, str]) -> tuple[int, Any]:
        if not rest:
            rows = [
                goal
                | {"user": self.say.user(goal["user"]), "pipeline": self.say.line(goal["pipeline"])}
                for goal in self.facts.goals
            ]
            return self.page("goals", rows, query)
        found = re.fullmatch(r"(\d+)/periods", rest)
        if not found or int(found[1]) not in self.facts.periods:
            return _not_found()
        return self.page("goalPeriods", self.facts.periods[int(found[1])], query)

    def opportunities(  # noqa: PLR0911 - one answer a path
        self, rest: str, query: dict[str, str]
    ) -> tuple[int, Any]:
        deals = self.facts.deals
        if not rest:
            since = query.get("since", "")
            changed = [d for d in deals.values() if (stamp(d.updated) or "") >= since]
            return self.deals(changed, query, off=not since)
        if rest == "deleted":
            if "since" not in query:
                return 422, _invalid("since is required", "since")
            rows = [row for row in self.facts.deleted if row["deletedAt"] >= query["since"]]
            hidden = [
                {"id": n, "name": "Private", "isRestricted": True} for n in self.facts.restricted
            ]
            more = {"restrictedOpportunities": hidden} if hidden else {}
            return 200, {"opportunities": rows} | more
        if rest == "search":
            word = query.get("q", "").lower()
            return self.deals([d for d in deals.values() if word in d.name.lower()], query)
        if rest == "tags":
            return 200, {"tags": [self.say.tag(n) for n in self.facts.tags]}
        if rest == "fields/definitions":
            rows = [self.say.definition(one) for one in self.facts.definitions.values()]
            return self.page("definitions", rows, query)
        ids = [int(one) for one in rest.split(",") if one.isdigit()]
        if not ids or any(n not in deals for n in ids):
            return _not_found()
        embed = set(query.get("embed", "").split(","))
        rows = [self.say.deal(deals[n], embed) for n in ids]
        return 200, {"opportunity": rows[0]} if len(ids) == 1 else {"opportunities": rows}

    def deals(
        self, chosen: list[Deal], query: dict[str, str], *, off: bool = False
    ) -> tuple[int, Any]:
        embed = set(query.get("embed", "").split(","))
        status, page = self.page("opportunities", chosen, query, most=100)
        if status == 200:
            page["opportunities"] = [self.say.deal(one, embed) for one in page["opportunities"]]
            if "meta" in embed and self.quirks.meta and not self.quirks.old:
                where = int(query.get("page", 1)), int(query.get("perPage", 50))
                wrong = self.quirks.total_off(*where) if off else 0
                page["meta"] = {"totalCount": len(chosen) + wrong}
        return status, page

    def page(
        self, key: str, rows: list[Any], query: dict[str, str], most: int | None = None
    ) -> tuple[int, dict[str, Any]]:
        asked = [query.get("page", "1"), query.get("perPage", "50")]
        if not all(re.fullmatch(r"\d{1,9}", one) for one in asked):
            return 400, {"message": "page and perPage must be numbers"}
        page, size = int(asked[0]), int(asked[1])
        if page < 1 or not 1 <= size <= 100:
            return 400, {"message": "page or perPage is out of range"}
        size = min(size, most or self.quirks.short_lists)
        held = rows[(page - 1) * size : page * size]
        return 200, {key: held, "_pages": (page, page * size < len(rows))}

    def truth(self, deal: Deal) -> str:
        at = self.facts.milestones.get(deal.milestone or -1)
        return at.status if at else "open"

    def matching(self, body: Any) -> list[Deal]:
        conditions = body.get("filter", {}).get("conditions", [])
        return [d for d in self.facts.deals.values() if all(self.holds(d, c) for c in conditions)]

    def holds(self, deal: Deal, condition: dict[str, Any]) -> bool:
        if "conditions" in condition:
            return any(self.holds(deal, one) for one in condition["conditions"])
        name, operator, wanted = (condition.get(k) for k in ("field", "operator", "value"))
        at = self.facts.milestones.get(deal.milestone or -1)
        held = {
            "id": [deal.id], "name": [deal.name], "status": [self.truth(deal)],
            "isOpen": [self.truth(deal) == "open"], "currency": [deal.currency],
            "milestone": [at and at.id, at and at.name], "probability": [deal.probability],
            "pipeline": [at and at.pipeline, at and self.facts.lines[at.pipeline].name],
            "owner": [deal.owner, *(self.facts.users[deal.owner][k] for k in ("username", "name"))]
            if deal.owner else [None],
            "team": [deal.team, self.facts.teams.get(deal.team or -1)],
            "tag": [x for n in deal.tags for x in (n, self.facts.tags[n][0])],
            "updatedOn": [deal.updated.date()], "addedOn": [deal.created.date()],
            "closedOn": [deal.closed], "expectedCloseOn": [deal.expected],
        }.get(str(name))  # fmt: skip
        if held is None:
            raise _RefusedError("invalid field name")
        days = [one for one in held if isinstance(one, date)]
        if operator in {"is", "is not"}:
            wanted = wanted.lower() if name == "status" else wanted
            same = wanted in held or (isinstance(wanted, str) and wanted in map(str, held))
            return same == (operator == "is")
        if operator in {"is after", "is before"}:
            day = date.fromisoformat(wanted)
            return any(one > day if operator == "is after" else one < day for one in days)
        today = datetime.now(UTC).date()
        if operator in {"is within last", "is older than"}:
            edge = today - timedelta(days=int(wanted))
            return any((one >= edge) == (operator == "is within last") for one in days)
        if operator == "contains":
            return any(str(wanted).lower() in str(one).lower() for one in held)
        raise _RefusedError("invalid operator")

    def worth(self, body: Any) -> dict[str, Any]:
        """Add up what matches, in the account's currency where it has several."""
        chosen = [d for d in self.matching(body) if d.amount is not None]
        total, projected = Decimal(0), Decimal(0)
        codes = {deal.currency for deal in chosen}
        for deal in chosen:
            at = self.facts.milestones.get(deal.milestone or -1)
            long = deal.basis not in {None, "FIXED"}
            tcv = (deal.amount or 0) * ((deal.duration or 0) if long else 1)
            tcv *= 1 if len(codes) == 1 else _RATES[str(deal.currency)]
            own = deal.probability if deal.probability is not None else at and at.probability
            total += tcv
            projected += tcv * (own or 0) / 100
        code = codes.pop() if len(codes) == 1 else "GBP"
        cents = [float(round(one, 2)) for one in (total, projected)]
        told = {"totalValue": cents[0], "projectedValue": cents[1], "meta": {"currency": code}}
        self.worths.append(told)
        return dict(told)


_CURRENCIES = ["AUD", "CHF", "EUR", "GBP", "JPY", "SEK", "USD"]
_RATES = {"GBP": Decimal(1), "EUR": Decimal("0.86"), "USD": Decimal("0.79")}
_NO_METHOD = {"message": "Method not allowed"}


class _RefusedError(Exception):
    """A filter that Capsule would refuse."""


def _not_found() -> tuple[int, Any]:
    return 404, {"message": "Could not find resource"}


def _invalid(message: str, name: str) -> dict[str, Any]:
    row = {"message": message, "resource": "opportunity", "field": name}
    return {"message": "Validation Failed", "errors": [row]}


def _handler(server: FactsServer) -> type[BaseHTTPRequestHandler]:  # noqa: C901
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Say nothing: tests read `asked`."""

        def serve(self) -> None:
            parts = urlsplit(self.path)
            query = {key: found[-1] for key, found in parse_qs(parts.query).items()}
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length)
            path = parts.path.removeprefix("/api/v2/")
            with server.lock:
                server.asked.append((self.command, path, query))
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    status, body = 401, {"message": "Invalid token"}
                elif path == parts.path:
                    status, body = _not_found()
                else:
                    status, body = self.ask(path, query, sent)
            pages = body.pop("_pages", None)
            data = json.dumps(server.say.bare(body)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json;charset=UTF-8")
            self.send_header("Content-Length", str(len(data)))
            if status == 401:
                self.send_header("WWW-Authenticate", 'Bearer error="invalid_token"')
            if status < 300:
                self.limits()
            if pages:
                self.links(parts.path, query, *pages)
            self.end_headers()
            self.wfile.write(data)

        def ask(self, path: str, query: dict[str, str], sent: bytes) -> tuple[int, Any]:
            try:
                return server.answer(self.command, path, query, json.loads(sent) if sent else {})
            except _RefusedError as error:
                return 422, _invalid(str(error), "field")

        def limits(self) -> None:
            self.send_header("X-RateLimit-Limit", "4000")
            self.send_header("X-RateLimit-Remaining", str(4000 - len(server.asked)))
            self.send_header("X-RateLimit-Reset", str(int(time.time()) + 3000))

        def links(self, path: str, query: dict[str, str], page: int, more: bool) -> None:
            root = f"{server.url}{path}"
            links = [
                f'<{root}?{urlencode(query | {"page": str(number)})}>; rel="{rel}"'
                for rel, number, there in [("prev", page - 1, page > 1), ("next", page + 1, more)]
                if there
            ]
            if links:
                self.send_header("Link", ", ".join(links))
            self.send_header("X-Pagination-Has-More", str(more).lower())

        do_GET = do_POST = do_PUT = do_DELETE = serve  # noqa: N815

    return Handler


@contextmanager
def serving(facts: Facts, quirks: Quirks | None = None) -> Iterator[FactsServer]:
    """Serve an account on loopback while the block runs."""
    server = FactsServer(facts, quirks or Quirks())
    thread = threading.Thread(target=server.httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.httpd.shutdown()
        server.httpd.server_close()
        thread.join(5)
