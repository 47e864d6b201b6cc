"""API v2 of the sandbox, the opportunities: JSON under ``/api/v2``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from flask import Response, request
from werkzeug.exceptions import NotFound

from .filters import search
from .records import (
    Problem,
    Record,
    ValidationError,
    items,
    part,
    party_name,
)
from .wire import answer, body, cut, embedded, paged, since, some_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .account import Account, Order
    from .quirks import Quirks

# What a record shows only when asked to.
EMBEDDED = ("tags", "fields", "missingImportantFields")
Key = tuple[int, tuple[str, ...]]


class V2:
    """The calls of API v2 on the opportunities of one account.

    Parameters
    ----------
    account
        The account that is served.
    page_limit
        The most records in one answer; never more than 100.
    order
        The order of lists.
    quirks
        How to answer where Capsule's own answer is not known.
    """

    def __init__(self, account: Account, page_limit: int, order: Order, quirks: Quirks) -> None:
        self.account = account
        self.page_limit = page_limit
        self.order = order
        self.quirks = quirks
        self._rendered: dict[Key, tuple[Record, bytes]] = {}

    def routes(self) -> list[tuple[str, str, Callable[..., Response]]]:
        """List the calls: method, path and view."""
        return [
            ("GET", "/api/v2/opportunities", self.list_all),
            ("POST", "/api/v2/opportunities", self.create),
            ("GET", "/api/v2/opportunities/<id:number>", self.show),
            ("PUT", "/api/v2/opportunities/<id:number>", self.update),
            ("DELETE", "/api/v2/opportunities/<id:number>", self.delete),
            ("GET", "/api/v2/opportunities/<ids:numbers>", self.show_several),
            ("GET", "/api/v2/opportunities/<id:number>/parties", self.contacts),
            ("GET", "/api/v2/opportunities/deleted", self.deleted),
            ("GET", "/api/v2/opportunities/search", self.search),
            ("POST", "/api/v2/opportunities/value", self.value),
            ("GET", "/api/v2/opportunities/filters", self.filters),
            ("GET", "/api/v2/opportunities/filters/<id:number>/results", self.saved_results),
            ("POST", "/api/v2/opportunities/filters/results", self.results),
            ("GET", "/api/v2/parties/<id:party>/opportunities", self.list_by_party),
        ]

    def list_all(self) -> Response:
        """Answer a page of the opportunities, those changed after ``since`` if it is sent."""
        moment = since()
        if moment is None:
            return self._page(self.account.opportunities(self.order))
        changed = self.account.opportunities(
            self.order,
            key=("v2", moment, self.quirks.since_inclusive),
            where=lambda record: self._after(record.get("updatedAt"), moment),
        )
        return self._page(changed)

    def list_by_party(self, party: int) -> Response:
        """Answer the opportunities of a party, those it is an additional contact of included."""
        if party not in self.account.parties:
            raise NotFound
        contacts = self.account.contacts
        records = self.account.opportunities(
            self.order,
            where=lambda record: (
                part(record, "party").get("id") == party or party in contacts.get(record["id"], ())
            ),
        )
        return self._page(records)

    def show(self, number: int) -> Response:
        """Answer one opportunity."""
        return self._one(self._record(number))

    def show_several(self, numbers: str) -> Response:
        """Answer up to ten opportunities by their ids; unknown ids are left out.

        Parameters
        ----------
        numbers
            The ids as they stand in the path, joined by commas.
        """
        found = [self.account.get(number) for number in some_ids(numbers)]
        return self._several([record for record in found if record is not None])

    def create(self) -> Response:
        """Add an opportunity and say where it is."""
        record = self.account.create(body("opportunity"), quirks=self.quirks)
        response = self._one(record, 201)
        response.headers["Location"] = f"{request.host_url}api/v2/opportunities/{record['id']}"
        return response

    def update(self, number: int) -> Response:
        """Change the fields that are sent."""
        self._record(number)
        return self._one(self.account.update(number, body("opportunity"), quirks=self.quirks))

    def delete(self, number: int) -> Response:
        """Delete an opportunity."""
        self._record(number)
        self.account.delete(number)
        return Response(status=204)

    def deleted(self) -> Response:
        """Answer what was deleted, and what was taken out of sight, after ``since``.

        The restricted rows say nothing of a time, and the key is there only if there are any.
        """
        moment = since()
        if moment is None:
            raise ValidationError([Problem("since", "since is required")])
        gone = [row for row in list(self.account.deleted) if self._after(row["deletedAt"], moment)]
        hidden = [
            {"id": row["id"], "name": "Private", "isRestricted": True}
            for row in list(self.account.restricted)
            if not self.quirks.restricted_by_since or self._after(row.get("restrictedAt"), moment)
        ]
        more = {"restrictedOpportunities": hidden} if hidden else {}
        if not self.quirks.deleted_paged:
            return answer({"opportunities": gone, **more})
        page = cut(gone, self.page_limit, self.quirks)
        return paged(answer({"opportunities": page.rows, **more}), page, self.quirks)

    def contacts(self, number: int) -> Response:
        """Answer the additional contacts of an opportunity."""
        self._record(number)
        known = self.account.parties
        joined = self.account.contacts.get(number, [])
        return answer({"parties": [known[key] for key in joined if key in known]})

    def search(self) -> Response:
        """Answer a page of the opportunities whose name, description or party holds some words."""
        words = request.args.get("q", "").casefold().split()

        def holds(record: Record) -> bool:
            texts = (record.get("name"), record.get("description"))
            party = party_name(part(record, "party"))
            whole = " ".join(str(text or "") for text in (*texts, party)).casefold()
            return all(word in whole for word in words)

        return self._page(self.account.opportunities(self.order, where=holds))

    def results(self) -> Response:
        """Answer a page of the opportunities that a filter describes."""
        return self._page(self._found(body("filter")))

    def filters(self) -> Response:
        """Answer the filters that are saved."""
        rows = [{key: row[key] for key in row if key != "filter"} for row in self.account.filters]
        return answer({"filters": rows})

    def saved_results(self, number: int) -> Response:
        """Answer a page of the opportunities that a saved filter describes."""
        row = next((row for row in self.account.filters if row["id"] == number), None)
        if row is None:
            raise NotFound
        return self._page(self._found(part(row, "filter")))

    def value(self) -> Response:
        """Answer what the deals of a filter are worth, in the account's own currency.

        A deal in another currency counts at the account's rate; where it has none, not at all.
        """
        if not self.quirks.value_totals:
            raise NotFound
        currency = self.account.currency
        rates = {currency: 1.0, **(self.account.about.get("rates") or {})}
        total = projected = 0.0
        for record in self._found(body("filter")):
            value, duration = part(record, "value"), record.get("duration")
            amount, rate = value.get("amount"), rates.get(value.get("currency"))
            if not isinstance(amount, int | float) or not rate:
                continue
            times = 1 if record.get("durationBasis") in (None, "FIXED") else duration
            worth = amount * times / rate if isinstance(times, int) else 0.0
            total += worth
            projected += worth * self._percent(record) / 100
        said = {"totalValue": round(total, 2), "projectedValue": round(projected, 2)}
        meta = {"meta": {"currency": currency}} if self.quirks.meta_currency else {}
        return answer({**said, **meta})

    def _percent(self, record: Record) -> float:
        """Return a deal's own probability, its milestone's where it has none."""
        own = record.get("probability")
        if own is None:
            milestone = self.account.milestone(part(record, "milestone").get("id"))
            own = (milestone or {}).get("probability")
        return float(own) if isinstance(own, int | float) else 0.0

    def _found(self, query: Any) -> Sequence[Record]:  # noqa: ANN401 - the mapping of the request
        return search(self.account, query, self.account.clock(), self.quirks)

    def _after(self, stamp: object, moment: str) -> bool:
        text = str(stamp or "")
        return text >= moment if self.quirks.since_inclusive else text > moment

    def _page(self, records: Sequence[Record]) -> Response:
        page = cut(records, self.page_limit, self.quirks)
        return paged(self._several(page.rows, page.total), page, self.quirks)

    def _one(self, record: Record, status: int = 200) -> Response:
        response = answer(None, status)
        response.set_data(b'{"opportunity":' + self._render(record, self._embed()) + b"}")
        return response

    def _several(self, records: Sequence[Record], total: int | None = None) -> Response:
        embed = self._embed()
        parts = [self._render(record, embed) for record in records]
        meta = b""
        if total is not None and self.quirks.total_count and "meta" in embedded():
            meta = b',"meta":{"totalCount":%d}' % total
        response = answer(None)
        response.set_data(b'{"opportunities":[' + b",".join(parts) + b"]" + meta + b"}")
        return response

    def _embed(self) -> tuple[str, ...]:
        asked = embedded()
        known = [*EMBEDDED]
        known += ["party"] if self.quirks.embed_party else []
        known += ["milestone"] if self.quirks.embed_milestone else []
        return tuple(name for name in known if name in asked)

    def _render(self, record: Record, embed: tuple[str, ...]) -> bytes:
        if not {"tags", "fields"}.issuperset(embed):
            # What is shown hangs on more than the record.
            return orjson.dumps(self._shown(record, embed))
        key = (record["id"], embed)
        kept = self._rendered.get(key)
        if kept is None or kept[0] is not record:
            kept = (record, orjson.dumps(self._shown(record, embed)))
            self._rendered[key] = kept
        return kept[1]

    def _shown(self, record: Record, embed: tuple[str, ...]) -> Record:
        shown = {name: value for name, value in record.items() if name not in EMBEDDED}
        if "tags" in embed:
            shown["tags"] = record.get("tags") or []
        if "fields" in embed:
            shown["fields"] = [self._field(row) for row in items(record, "fields")]
        if "missingImportantFields" in embed:
            shown["missingImportantFields"] = self.account.is_missing_important(record)
        if "party" in embed:
            number = part(record, "party").get("id")
            shown["party"] = self.account.parties.get(number or 0, record.get("party"))
        if "milestone" in embed:
            number = part(record, "milestone").get("id")
            shown["milestone"] = self.account.milestone(number) or record.get("milestone")
        if self.quirks.absent_keys:
            shown = {name: value for name, value in shown.items() if value is not None}
        return shown

    def _field(self, row: Record) -> Record:
        """Write a field's value, with the id of the DataTag that it belongs to."""
        number = part(row, "definition").get("id")
        found = (one for one in self.account.definitions if one["id"] == number)
        tag = part(next(found, {}), "tag")
        if not tag or not self.quirks.field_tag_id:
            return {key: value for key, value in row.items() if key != "tagId"}
        return {**row, "tagId": tag["id"]}

    def _record(self, number: int) -> Record:
        record = self.account.get(number)
        if record is None:
            raise NotFound
        return record
