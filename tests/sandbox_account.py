"""The small account that the sandbox's tests serve: two pipelines, three parties, six deals."""

from __future__ import annotations

from typing import Any

SARAH = {"id": 1, "username": "sarah", "name": "Sarah Holt"}
TOM = {"id": 2, "username": "tom", "name": "Tom Reed"}
SALES = {"id": 1, "name": "Sales"}
RENEWALS = {"id": 2, "name": "Renewals"}
ACME = {"id": 10, "type": "organisation", "name": "Acme", "pictureURL": None}
ADA = {
    "id": 11,
    "type": "person",
    "firstName": "Ada",
    "lastName": "Byron",
    "pictureURL": None,
}


def deal(number: int, name: str, **other: Any) -> dict[str, Any]:
    """Write out an opportunity; what is not given is an open bid of 1,000 GBP for Acme."""
    return {
        "id": number,
        "createdAt": "2026-01-05T09:00:00Z",
        "updatedAt": "2026-01-05T09:00:00Z",
        "party": ACME,
        "lostReason": None,
        "name": name,
        "description": None,
        "owner": SARAH,
        "team": None,
        "milestone": {"id": 2, "name": "Bid"},
        "lastOpenMilestone": None,
        "value": {"amount": 1000, "currency": "GBP"},
        "expectedCloseOn": "2026-03-31",
        "probability": 40,
        "durationBasis": "FIXED",
        "duration": None,
        "closedOn": None,
        "lastContactedAt": None,
        "lastStageChangedAt": "2026-01-05T09:00:00Z",
        "tags": [],
        "fields": [],
    } | other


def account() -> dict[str, Any]:
    """Build the account in the form of the account file."""
    return {
        "account": {"subdomain": "acme", "name": "Acme Sales", "asOf": "2026-03-01"},
        "users": [SARAH, TOM],
        "teams": [{"id": 1, "name": "North"}],
        "pipelines": [SALES, RENEWALS],
        "milestones": [
            {"id": 1, "name": "Lead", "probability": 10, "complete": False, "pipeline": SALES},
            {"id": 2, "name": "Bid", "probability": 40, "complete": False, "pipeline": SALES},
            {"id": 3, "name": "Won", "probability": 100, "complete": True, "pipeline": SALES},
            {"id": 4, "name": "Lost", "probability": 0, "complete": True, "pipeline": SALES},
            {"id": 5, "name": "Bid", "probability": 70, "complete": False, "pipeline": RENEWALS},
        ],
        "currencies": ["GBP", "EUR", "USD"],
        "lostReasons": [{"id": 1, "name": "Price"}],
        "parties": [
            {"id": 10, "type": "organisation", "name": "Acme"},
            {
                "id": 11,
                "type": "person",
                "firstName": "Ada",
                "lastName": "Byron",
                "organisation": {"id": 10, "name": "Acme"},
            },
            {"id": 12, "type": "person", "firstName": "Bo", "lastName": "Free"},
        ],
        "tags": [{"id": 1, "name": "key account"}, {"id": 2, "name": "public sector"}],
        "opportunities": [
            deal(
                101,
                "Website",
                description="Shop & blog",
                value={"amount": 1234.5, "currency": "GBP"},
            ),
            deal(
                102,
                "Support",
                durationBasis="MONTH",
                duration=12,
                owner=TOM,
                updatedAt="2026-02-10T12:30:00Z",
                tags=[{"id": 1, "name": "key account"}],
            ),
            deal(
                103,
                "Rollout",
                milestone={"id": 3, "name": "Won"},
                lastOpenMilestone={"id": 2, "name": "Bid"},
                probability=100,
                closedOn="2026-02-20",
                value={"amount": 20000, "currency": "EUR"},
                updatedAt="2026-02-20T08:00:00Z",
            ),
            deal(104, "Renewal", milestone={"id": 5, "name": "Bid"}, probability=70),
            deal(105, "Audit", party=ADA, durationBasis="QUARTER", duration=2),
            # As imports leave them: text where a number belongs, a date that is none.
            deal(
                106,
                "Imported",
                owner=None,
                value={"amount": "12k", "currency": "GBP"},
                expectedCloseOn="0000-00-00",
                probability=None,
                durationBasis=None,
            ),
        ],
        "additionalParties": {"101": [12]},
        "deletedOpportunities": [{"id": 90, "deletedAt": "2026-01-20T10:00:00Z"}],
    }
