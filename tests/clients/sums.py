"""What a whole account comes to, from the raw answers that a client brought, or from our frame."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import capsule_analytics as ca

Row = dict[str, Any]

GONE = 18
"""The sample's milestone that was deleted: in no list, and still there for who asks by its id."""


class Sums(NamedTuple):
    """An account in sums.

    Attributes
    ----------
    deals
        How many deals there are of each currency and status.
    tcv
        What they are worth, in cents; a deal whose worth cannot be told counts nothing.
    tags
        How many deals have each tag.
    fields
        How many values the custom fields of all deals have.
    """

    deals: Counter[tuple[str, str]]
    tcv: Counter[tuple[str, str]]
    tags: Counter[str]
    fields: int


def of_v2(deals: Iterable[Row], milestones: Iterable[Row]) -> Sums:
    """Sum what API v2 answered, by nothing but what is known of Capsule."""
    at = {row["id"]: row for row in milestones}
    sums = Sums(Counter(), Counter(), Counter(), 0)
    for deal in deals:
        value = deal.get("value") or {}
        fixed = deal.get("durationBasis") in {None, "FIXED"}
        times = 1 if fixed else deal.get("duration")
        _add(
            sums, value.get("currency"), at.get(deal["milestone"]["id"]), value.get("amount"), times
        )
        sums.tags.update(tag["name"] for tag in deal["tags"])
        sums = sums._replace(fields=sums.fields + len(deal["fields"]))
    return sums


def of_v1(deals: Iterable[Row], milestones: Iterable[Row]) -> Sums:
    """Sum what API v1 answered as JSON: every value is a string, and nothing is embedded."""
    at = {
        row["id"]: {"complete": row["complete"] == "true", "probability": int(row["probability"])}
        for row in milestones
    }
    sums = Sums(Counter(), Counter(), Counter(), 0)
    for deal in deals:
        fixed = deal.get("durationBasis") in {None, "FIXED"}
        times = 1 if fixed else deal.get("duration")
        amount = deal.get("value")
        known = amount is not None and "," not in amount  # as one deal of the sample has it
        number = Decimal(amount) if known else None
        _add(sums, deal.get("currency"), at.get(deal["milestoneId"]), number, times)
    return sums


def of_pipeline(pipeline: ca.Pipeline) -> Sums:
    """Sum our own frame."""
    frame = pipeline.opportunities
    sums = Sums(Counter(), Counter(), Counter(), sum(len(held or ()) for held in frame["fields"]))
    keys = zip(frame["currency"].astype(object).fillna(""), frame["status"], strict=True)
    for key, value in zip(keys, frame["tcv"], strict=True):
        sums.deals[key] += 1
        sums.tcv[key] += 0 if pd.isna(value) else _cents(value)
    for tags in frame["tags"]:
        sums.tags.update(tags or ())
    return sums


def names(milestones: Iterable[Row]) -> dict[str, set[tuple[int, str]]]:
    """Name the milestones of each pipeline, as API v2 answered them."""
    found: dict[str, set[tuple[int, str]]] = {}
    for row in milestones:
        found.setdefault(row["pipeline"]["name"], set()).add((row["id"], row["name"]))
    return found


def names_of(pipeline: ca.Pipeline) -> dict[str, set[tuple[int, str]]]:
    """Name the milestones of each pipeline of our own."""
    table = pipeline.milestones
    return {
        name: set(zip(rows.index, rows["name"], strict=True))
        for name, rows in table.groupby("pipeline")
    }


def _add(
    sums: Sums,
    currency: str | None,
    milestone: Mapping[str, Any] | None,
    amount: object,
    times: object,
) -> None:
    key = (currency or "", _status(milestone))
    known = isinstance(amount, int | float | Decimal) and times is not None
    sums.deals[key] += 1
    sums.tcv[key] += _cents(Decimal(str(amount)) * int(str(times))) if known else 0


def _status(milestone: Mapping[str, Any] | None) -> str:
    if milestone is None or not milestone["complete"]:
        return "open"
    return "won" if milestone["probability"] else "lost"


def _cents(value: object) -> int:
    return round(Decimal(str(value)) * 100)
