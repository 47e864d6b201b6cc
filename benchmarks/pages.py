"""Pages as a server would send them, made up: what the benchmarks parse."""

from __future__ import annotations

import json
from typing import Any

PAGE = 100


def records(count: int) -> list[dict[str, Any]]:
    """Make opportunities in the form of API v2, some fields absent as in a real account."""
    return [
        {
            "id": n,
            "createdAt": f"2025-{n % 12 + 1:02d}-{n % 28 + 1:02d}T10:{n % 60:02d}:12Z",
            "updatedAt": f"2026-{n % 9 + 1:02d}-{n % 28 + 1:02d}T11:{n % 60:02d}:{n % 59:02d}Z",
            "party": {"id": 200 + n % 977, "type": "organisation", "name": f"Firm {n % 977}"},
            "lostReason": None,
            "name": f"Consulting & rollout {n}",
            "description": None if n % 3 else f"Came through the website, contact {n}",
            "owner": {"id": n % 7, "username": f"owner{n % 7}", "name": f"Owner {n % 7}"},
            "team": None,
            "milestone": {"id": 1 + n % 5, "name": f"Milestone {n % 5}", "lastOpenMilestone": None},
            "value": {"amount": n % 9999 + 0.5, "currency": ("GBP", "EUR", "USD")[n % 3]},
            "expectedCloseOn": f"2026-{n % 12 + 1:02d}-{n % 28 + 1:02d}",
            "probability": n % 101,
            "durationBasis": "MONTH" if n % 4 == 0 else "FIXED",
            "duration": 3 if n % 4 == 0 else None,
            "closedOn": f"2026-0{n % 9 + 1}-15" if n % 5 > 2 else None,
        }
        for n in range(1, count + 1)
    ]


def v2_pages(count: int) -> list[bytes]:
    """Make pages of JSON."""
    made = records(count)
    return [
        json.dumps({"opportunities": made[first : first + PAGE]}).encode()
        for first in range(0, count, PAGE)
    ]


def v1_pages(count: int) -> list[bytes]:
    """Make pages of XML of the same opportunities."""
    made = [_xml(record) for record in records(count)]
    return [
        f'<?xml version="1.0" encoding="UTF-8"?><opportunities size="{PAGE}">'
        f"{''.join(made[first : first + PAGE])}</opportunities>".encode()
        for first in range(0, count, PAGE)
    ]


def _xml(record: dict[str, Any]) -> str:
    fields = {
        "id": record["id"],
        "name": record["name"].replace("&", "&amp;"),
        "description": record["description"],
        "partyId": record["party"]["id"],
        "currency": record["value"]["currency"],
        "value": record["value"]["amount"],
        "durationBasis": record["durationBasis"],
        "duration": record["duration"],
        "expectedCloseDate": f"{record['expectedCloseOn']}T00:00:00Z",
        "actualCloseDate": record["closedOn"] and f"{record['closedOn']}T00:00:00Z",
        "milestoneId": record["milestone"]["id"],
        "milestone": record["milestone"]["name"],
        "probability": record["probability"],
        "owner": record["owner"]["username"],
        "createdOn": record["createdAt"],
        "updatedOn": record["updatedAt"],
    }
    inner = "".join(f"<{k}>{v}</{k}>" for k, v in fields.items() if v is not None)
    return f"<opportunity>{inner}</opportunity>"
