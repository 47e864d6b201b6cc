"""The sample account as a client must read it: nothing but requests and what is known of Capsule.

The sums are worked out from the account's file on one side, and from the answers on the other.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import requests
from lxml import etree

from capsule_analytics.sample import account_path
from capsule_analytics.sandbox import Quirks, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

Sums = dict[tuple[str, str, str], Fraction]


class Client:
    """Reads API v2 by the book."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.root = sandbox.url + "/api/v2"
        self.session = requests.Session()
        self.session.headers["Authorization"] = "Bearer " + sandbox.token

    def get(self, path: str) -> requests.Response:
        return self.session.get(self.root + path, timeout=5)

    def all(self, path: str, name: str) -> list[dict[str, Any]]:
        """Follow the pages of a list, by the link or by the count of what has come."""
        rows: list[dict[str, Any]] = []
        url = f"{self.root}{path}{'&' if '?' in path else '?'}perPage=100"
        while url:
            answer = self.session.get(url, timeout=5)
            rows += answer.json()[name]
            url = answer.links.get("next", {}).get("url", "")
        return rows

    def milestones(self, deals: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """Find every milestone that a pipeline has or a deal refers to."""
        found = {}
        for pipeline in self.all("/pipelines?includeDeleted=true", "pipelines"):
            for row in self.all(f"/pipelines/{pipeline['id']}/milestones", "milestones"):
                found[row["id"]] = row
        named = [deal.get(key) for deal in deals for key in ("milestone", "lastOpenMilestone")]
        for number in sorted({row["id"] for row in named if row} - found.keys()):
            answer = self.get(f"/milestones/{number}")
            if answer.status_code == 200:
                found[number] = answer.json()["milestone"]
        return found


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(account_path().read_bytes())
    return read


def status(milestone: dict[str, Any] | None) -> str:
    if milestone is None or not milestone["complete"]:
        return "open"
    return "won" if milestone["probability"] else "lost"


def sums(deals: list[dict[str, Any]], milestones: dict[int, dict[str, Any]]) -> Sums:
    """Add up the contract values of deals by status, currency and close month."""
    totals: Sums = defaultdict(Fraction)
    for deal in deals:
        value = deal["value"] or {}
        amount, duration = value.get("amount"), deal["duration"]
        if not isinstance(amount, int | float):
            continue
        times = 1 if deal["durationBasis"] == "FIXED" else duration or 0
        state = status(milestones.get(deal["milestone"]["id"]))
        day = (state == "won" and deal["closedOn"]) or deal["expectedCloseOn"] or ""
        totals[state, value.get("currency") or "", day[:7]] += Fraction(str(amount)) * times
    return totals


def test_all_but_one_milestone_can_be_found(sandbox: Sandbox, stored: dict[str, Any]) -> None:
    client = Client(sandbox)
    deals = client.all("/opportunities", "opportunities")
    found = client.milestones(deals)
    assert found.keys() == {row["id"] for row in stored["milestones"]}
    unknown = {deal["milestone"]["id"] for deal in deals} - found.keys()
    assert unknown == {4711}
    states = Counter(status(found.get(deal["milestone"]["id"])) for deal in deals)
    assert states == {"won": 216, "lost": 222, "open": 164}


def test_what_the_first_list_of_milestones_alone_leads_to(sandbox: Sandbox) -> None:
    """A client that takes /milestones for all of them takes closed deals for open ones."""
    client = Client(sandbox)
    deals = client.all("/opportunities", "opportunities")
    oldest = {row["id"]: row for row in client.all("/milestones", "milestones")}
    states = Counter(status(oldest.get(deal["milestone"]["id"])) for deal in deals)
    assert states == {"won": 154, "lost": 145, "open": 303}


def test_sums_are_those_of_the_file(sandbox: Sandbox, stored: dict[str, Any]) -> None:
    client = Client(sandbox)
    deals = client.all("/opportunities", "opportunities")
    milestones = {row["id"]: row for row in stored["milestones"]}
    expected = sums(stored["opportunities"], milestones)
    assert sums(deals, client.milestones(deals)) == expected
    assert len(expected) > 90


def test_a_milestone_that_cannot_be_fetched_leaves_its_deals_open(sandbox: Sandbox) -> None:
    with Sandbox(quirks=Quirks(deleted_milestone_fetchable=False)) as strict:
        client = Client(strict)
        deals = client.all("/opportunities", "opportunities")
        found = client.milestones(deals)
    assert 18 not in found
    assert found.keys() | {18} == Client(sandbox).milestones(deals).keys()


def test_both_versions_hold_the_same_amounts(sandbox: Sandbox, stored: dict[str, Any]) -> None:
    seen: list[tuple[str, str, str]] = []
    while True:
        url = f"{sandbox.url}/api/opportunity?start={len(seen)}&limit=100"
        page = etree.fromstring(
            requests.get(url, auth=(sandbox.token, "x"), timeout=5).content
        ).findall("opportunity")
        if not page:
            break
        seen += [
            (
                str(row.findtext("id")),
                row.findtext("value") or "",
                row.findtext("milestoneId") or "",
            )
            for row in page
        ]
    expected = [
        (str(row["id"]), (row["value"] or {}).get("amount"), str(row["milestone"]["id"]))
        for row in stored["opportunities"]
    ]
    assert seen == [
        (number, "" if amount is None else str(amount), milestone)
        for number, amount, milestone in expected
    ]
