"""What is not known of Capsule's API, each point a switch, so that a client is tried both ways.

The defaults are what is likeliest, or what was seen on live accounts; every other setting is
something that a server may do without contradicting what is documented.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints
from zoneinfo import ZoneInfo

from capsule_analytics.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Quirks:
    """How the sandbox answers where Capsule's own answer is not known for certain.

    Attributes
    ----------
    absent_keys
        Keys of an opportunity that have no value are left out; otherwise they are null.
    archived_listed
        ``/pipelines/{id}/milestones`` answers for archived pipelines too; otherwise 404.
    archived_mark
        The key that marks an archived pipeline as true; empty for none.
    archived_in_all
        ``/milestones/all`` holds the milestones of archived pipelines too.
    closing_zone
        The time zone whose day ``closedOn`` is set to.
    deleted_milestone_fetchable
        ``/milestones/{id}`` answers for a deleted milestone too; otherwise 404.
    deleted_paged
        ``/opportunities/deleted`` heeds ``page`` and ``perPage``.
    embed_milestone
        ``embed=milestone`` gives the whole milestone; otherwise it is ignored.
    embed_party
        ``embed=party`` gives the whole party; otherwise it is ignored.
    exact_status
        The filter field ``status`` takes open, won and lost in lower case alone.
    field_tag_id
        A field that belongs to a DataTag carries ``tagId``.
    goal_user
        Goals name their user.
    goal_value
        A goal's ``value`` is that of one ``"period"``, or of the ``"whole"`` goal.
    has_more
        Lists carry ``X-Pagination-Has-More``.
    link
        Lists carry ``Link``.
    link_prev
        ``Link`` leads to the page before, too.
    meta_currency
        ``/opportunities/value`` names the currency.
    milestone_pipeline
        Milestones of a list name their pipeline; one that is asked for by its id always does.
    milestones_all
        ``/milestones/all`` exists.
    names_in_bodies
        What is written may name owner, team, milestone and lost reason by a name instead of an id.
    order_by
        ``orderBy`` of a filter is heeded.
    page_out_of_range
        The status of an answer to a ``page`` or ``perPage`` that cannot be: 400 or 422.
    restricted_by_since
        ``since`` limits the restricted deals as it does the deleted ones; otherwise all are told.
    since_inclusive
        ``since`` means at or after a time; otherwise after it.
    tags_by_name
        A tag that is written by an unknown name is made; otherwise it is refused.
    total_count
        ``embed=meta`` adds ``meta.totalCount`` to lists.
    v1_bare_row
        A list of one record in v1's JSON is that record, not a list.
    v1_close_date
        v1 has ``actualCloseDate``.
    value_totals
        ``/opportunities/value`` exists.
    without
        Paths under ``/api/v2`` that this server does not have, with all below them, separated by
        blanks: ``"/goals /pipelines"``.

    Raises
    ------
    ArgumentError
        A value is none of those allowed.

    Examples
    --------
    >>> Quirks(link_prev=False).link
    True
    >>> Quirks.of(["absent_keys", "page_out_of_range=422"])
    Quirks(absent_keys=True, page_out_of_range=422)
    """

    absent_keys: bool = False
    archived_listed: bool = True
    archived_mark: str = "isDeleted"
    archived_in_all: bool = False
    closing_zone: str = "UTC"
    deleted_milestone_fetchable: bool = True
    deleted_paged: bool = False
    embed_milestone: bool = False
    embed_party: bool = False
    exact_status: bool = False
    field_tag_id: bool = True
    goal_user: bool = True
    goal_value: Literal["period", "whole"] = "period"
    has_more: bool = True
    link: bool = True
    link_prev: bool = True
    meta_currency: bool = True
    milestone_pipeline: bool = True
    milestones_all: bool = True
    names_in_bodies: bool = True
    order_by: bool = True
    page_out_of_range: Literal[400, 422] = 400
    restricted_by_since: bool = False
    since_inclusive: bool = False
    tags_by_name: bool = False
    total_count: bool = True
    v1_bare_row: bool = False
    v1_close_date: bool = True
    value_totals: bool = True
    without: str = ""

    def __post_init__(self) -> None:
        """Refuse a value that no server could have: it would be tried without being noticed."""
        for name, kind in get_type_hints(type(self)).items():
            value, choices = getattr(self, name), get_args(kind)
            good = value in choices if choices else isinstance(value, kind)
            if not good:
                wanted = " or ".join(map(str, choices)) if choices else kind.__name__
                raise ArgumentError(f"the quirk {name} must be {wanted}, not {value!r}")
        try:
            ZoneInfo(self.closing_zone)
        except (ValueError, OSError, KeyError) as error:
            raise ArgumentError(
                f"the quirk closing_zone must be a time zone, not {self.closing_zone!r}"
            ) from error

    def __repr__(self) -> str:
        """Name what differs from the defaults."""
        changed = (
            f"{one.name}={getattr(self, one.name)!r}"
            for one in fields(self)
            if getattr(self, one.name) != one.default
        )
        return f"Quirks({', '.join(changed)})"

    @classmethod
    def of(cls, words: Iterable[str]) -> Quirks:
        """Read quirks as the command line gives them.

        Parameters
        ----------
        words
            ``NAME`` turns a switch to what it is not by default, ``NAME=VALUE`` sets a value.

        Raises
        ------
        ArgumentError
            There is no such quirk, or it has no such value.
        """
        known = {one.name: one.default for one in fields(cls)}
        given: dict[str, Any] = {}
        for word in words:
            name, equals, text = word.partition("=")
            if name not in known:
                raise ArgumentError(f"there is no quirk {name!r}; there are {', '.join(known)}")
            default = known[name]
            if equals:
                given[name] = _read(text, default)
            elif isinstance(default, bool):
                given[name] = not default
            else:
                raise ArgumentError(f"the quirk {name} needs a value: {name}=VALUE")
        return cls(**given)


def _read(text: str, default: object) -> object:
    """Read a value as the default's type; text that cannot be one is refused by `Quirks`."""
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(default, int):
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else text  # noqa: PLR2004
    return text
