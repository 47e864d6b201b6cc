"""API v2 of the sandbox, all but the opportunities: pipelines, goals, people, reference data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, request
from werkzeug.exceptions import NotFound

from .currencies import CURRENCIES
from .records import Record, part
from .wire import answer, embedded, listed, since, some_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .account import Account
    from .quirks import Quirks

# What every user has; the account file says more, or something else.
A_USER = {
    "locale": "en_GB",
    "timezone": "Europe/London",
    "status": "ACTIVE",
    "lastLoginAt": None,
    "taskReminder": True,
}
LONG_AGO = "2020-01-01T00:00:00Z"


class Setting:
    """The calls of API v2 on everything around the opportunities of one account.

    Parameters
    ----------
    account
        The account that is served.
    page_limit
        The most records in one answer.
    quirks
        How to answer where Capsule's own answer is not known.
    """

    def __init__(self, account: Account, page_limit: int, quirks: Quirks) -> None:
        self.account = account
        self.page_limit = page_limit
        self.quirks = quirks

    def routes(self) -> list[tuple[str, str, Callable[..., Response]]]:
        """List the calls: method, path and view."""
        return [
            ("GET", "/api/v2/pipelines", self.pipelines),
            ("GET", "/api/v2/pipelines/<id:number>", self.pipeline),
            ("GET", "/api/v2/pipelines/<ids:numbers>", self.several_pipelines),
            ("GET", "/api/v2/pipelines/<id:number>/milestones", self.pipeline_milestones),
            ("GET", "/api/v2/milestones", self.milestones),
            ("GET", "/api/v2/milestones/all", self.all_milestones),
            ("GET", "/api/v2/milestones/<id:number>", self.milestone),
            ("GET", "/api/v2/goals", self.goals),
            ("GET", "/api/v2/goals/<id:number>", self.goal),
            ("GET", "/api/v2/goals/<id:number>/periods", self.goal_periods),
            ("GET", "/api/v2/lostreasons", self.lost_reasons),
            ("GET", "/api/v2/opportunities/fields/definitions", self.definitions),
            ("GET", "/api/v2/opportunities/tags", self.tags),
            ("GET", "/api/v2/parties", self.parties),
            ("GET", "/api/v2/parties/<id:number>", self.party),
            ("GET", "/api/v2/users", self.users),
            ("GET", "/api/v2/users/<id:number>", self.user),
            ("GET", "/api/v2/users/current", self.current_user),
            ("GET", "/api/v2/teams", self.teams),
            ("GET", "/api/v2/site", self.site),
            ("GET", "/api/v2/currencies", self.currencies),
        ]

    def pipelines(self) -> Response:
        """Answer a page of the pipelines, the archived ones if they are wanted."""
        archived = request.args.get("includeDeleted", "").lower() == "true"
        words = request.args.get("q", "").casefold()
        rows = [
            self._pipeline(row)
            for row in self.account.pipelines
            if (archived or not row.get("isDeleted"))
            and words in str(row.get("name") or "").casefold()
        ]
        return self._page("pipelines", rows)

    def pipeline(self, number: int) -> Response:
        """Answer one pipeline."""
        return answer({"pipeline": self._pipeline(_one(self.account.pipelines, number))})

    def several_pipelines(self, numbers: str) -> Response:
        """Answer up to ten pipelines by their ids, all or none.

        Parameters
        ----------
        numbers
            The ids as they stand in the path, joined by commas.
        """
        found = [_one(self.account.pipelines, number) for number in some_ids(numbers)]
        return answer({"pipelines": [self._pipeline(row) for row in found]})

    def pipeline_milestones(self, number: int) -> Response:
        """Answer a page of the milestones of one pipeline."""
        pipeline = _one(self.account.pipelines, number)
        if pipeline.get("isDeleted") and not self.quirks.archived_listed:
            raise NotFound
        return self._page("milestones", self._milestones([pipeline]))

    def milestones(self) -> Response:
        """Answer a page of the milestones of the oldest active pipeline, and of no other."""
        active = [row for row in self.account.pipelines if not row.get("isDeleted")]
        oldest = min(
            active, key=lambda row: (str(row.get("createdAt") or ""), row["id"]), default={}
        )
        return self._page("milestones", self._milestones([oldest] if oldest else []))

    def all_milestones(self) -> Response:
        """Answer a page of the milestones of every pipeline, which no document promises."""
        if not self.quirks.milestones_all:
            raise NotFound
        pipelines = [
            row
            for row in self.account.pipelines
            if self.quirks.archived_in_all or not row.get("isDeleted")
        ]
        return self._page("milestones", self._milestones(pipelines))

    def milestone(self, number: int) -> Response:
        """Answer one milestone, whichever pipeline it belongs or belonged to."""
        row = _one(self.account.milestones, number)
        if row.get("isDeleted") and not self.quirks.deleted_milestone_fetchable:
            raise NotFound
        return answer({"milestone": _dated(row)})

    def goals(self) -> Response:
        """Answer a page of the goals."""
        return self._page("goals", [self._goal(row) for row in self.account.goals])

    def goal(self, number: int) -> Response:
        """Answer one goal."""
        return answer({"goal": self._goal(_one(self.account.goals, number))})

    def goal_periods(self, number: int) -> Response:
        """Answer a page of the periods of a goal, each with its own target."""
        _one(self.account.goals, number)
        return self._page("goalPeriods", self._periods(number))

    def lost_reasons(self) -> Response:
        """Answer the reasons for losing, and which of them count for the conversion rate."""
        rows = [{"includedForConversion": True, **_dated(row)} for row in self.account.lost_reasons]
        return self._whole("lostReasons", rows)

    def definitions(self) -> Response:
        """Answer a page of the definitions of custom fields."""
        rows = self.account.definitions
        if request.args.get("includeDataTagFields", "").lower() == "false":
            rows = [row for row in rows if not row.get("tag")]
        return self._page("definitions", rows)

    def tags(self) -> Response:
        """Answer a page of the tags."""
        return self._page("tags", [{"dataTag": False, **row} for row in self.account.tags])

    def parties(self) -> Response:
        """Answer a page of the parties, those changed after ``since`` if it is sent."""
        moment = since() or ""
        rows = [_dated(row) for row in self.account.parties.values()]
        inclusive = self.quirks.since_inclusive
        return self._page(
            "parties",
            [
                row
                for row in rows
                if row["updatedAt"] > moment or (inclusive and row["updatedAt"] == moment)
            ],
        )

    def party(self, number: int) -> Response:
        """Answer one party."""
        return answer({"party": _dated(_one(list(self.account.parties.values()), number))})

    def users(self) -> Response:
        """Answer all users."""
        return self._whole("users", [self._user(row) for row in self.account.users])

    def user(self, number: int) -> Response:
        """Answer one user."""
        return answer({"user": self._user(_one(self.account.users, number))})

    def current_user(self) -> Response:
        """Answer the user whom the token belongs to."""
        user = self.account.default_user
        if user is None:
            raise NotFound
        return answer({"user": self._user(user)})

    def teams(self) -> Response:
        """Answer all teams, with those who are in them if they are wanted."""
        shown = "memberships" in embedded()
        rows = [
            {key: value for key, value in _dated(row).items() if shown or key != "memberships"}
            for row in self.account.teams
        ]
        return self._whole("teams", rows)

    def site(self) -> Response:
        """Answer where the account is and what it is called; of its currency nothing is said."""
        subdomain = str(self.account.about.get("subdomain") or "sandbox")
        return answer(
            {
                "site": {
                    "url": f"https://{subdomain}.capsulecrm.com",
                    "subdomain": subdomain,
                    "name": self.account.about.get("name") or subdomain,
                }
            }
        )

    def currencies(self) -> Response:
        """Answer the currencies of Capsule, the same for every account."""
        return answer({"currencies": CURRENCIES})

    def _page(self, name: str, rows: Sequence[Record]) -> Response:
        return listed(name, rows, self.page_limit, self.quirks)

    def _whole(self, name: str, rows: Sequence[Record]) -> Response:
        """Answer a list that is not paged: ``page`` and ``perPage`` change nothing."""
        meta = {"meta": {"totalCount": len(rows)}} if "meta" in embedded() else {}
        return answer({name: rows, **(meta if self.quirks.total_count else {})})

    def _pipeline(self, row: Record) -> Record:
        own = {key: value for key, value in row.items() if key != "isDeleted"}
        shown = _dated(own)
        if row.get("isDeleted") and self.quirks.archived_mark:
            shown[self.quirks.archived_mark] = True
        return shown

    def _milestones(self, pipelines: Sequence[Record]) -> list[Record]:
        hidden = set() if self.quirks.milestone_pipeline else {"pipeline"}
        return [
            {key: value for key, value in _dated(row).items() if key not in hidden}
            for pipeline in pipelines
            for row in self.account.milestones
            if part(row, "pipeline").get("id") == pipeline["id"] and not row.get("isDeleted")
        ]

    def _goal(self, row: Record) -> Record:
        shown = dict(row)
        if not self.quirks.goal_user:
            shown.pop("user", None)
        if self.quirks.goal_value == "whole":
            shown["value"] = sum(
                period.get("targetValue") or 0 for period in self._periods(row["id"])
            )
        return shown

    def _periods(self, goal: int) -> list[Record]:
        return [row for row in self.account.goal_periods if part(row, "goal").get("id") == goal]

    def _user(self, row: Record) -> Record:
        first, _, last = str(row.get("name") or "").partition(" ")
        # Capsule keeps a person for each user; their ids stand beside those of the parties.
        person = {
            "id": 9_000_000 + row["id"],
            "type": "person",
            "firstName": first,
            "lastName": last,
        }
        currency = {"currency": self.account.currency}
        return {**A_USER, **currency, "party": {**person, "pictureURL": None}, **row}


def _one(rows: Sequence[Record], number: int) -> Record:
    """Find a row by its id."""
    row = next((row for row in rows if row["id"] == number), None)
    if row is None:
        raise NotFound
    return row


def _dated(row: Record) -> Record:
    """Give a row the times that every one of its kind has."""
    return {"createdAt": LONG_AGO, "updatedAt": LONG_AGO, **row}
