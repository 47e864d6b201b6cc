"""Which deals are wanted: the user's words, what a server can be asked for, and the rest here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from capsule_analytics.api import Query, definition_of, field_keys
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from capsule_analytics.api import CapsuleClient, Record
    from capsule_analytics.schema import Pipeline

Choice: TypeAlias = "str | int | Sequence[str | int] | None"
"""One name or id, or several, any of which will do."""

_NAMED = ("milestone", "pipeline", "owner", "team")


@dataclass(frozen=True)
class Wanted:
    """What deals must have; everything empty wants them all.

    Attributes
    ----------
    milestone, pipeline, owner, team
        Names or ids, any of which will do; a milestone's name counts in every pipeline.
    tag
        Names, any of which will do.
    status
        Of open, won and lost.
    field
        For each custom field the values that will do.
    """

    milestone: tuple[str | int, ...] = ()
    pipeline: tuple[str | int, ...] = ()
    owner: tuple[str | int, ...] = ()
    team: tuple[str | int, ...] = ()
    tag: tuple[str | int, ...] = ()
    status: tuple[str | int, ...] = ()
    field: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    @classmethod
    def of(cls, *, field: Mapping[str, Any] | None = None, **chosen: Choice) -> Wanted:
        """Read what a user chose.

        Raises
        ------
        ArgumentError
            If a status is none.
        """
        wanted = cls(
            **{name: _several(value) for name, value in chosen.items()},
            field=tuple((name, _several(value)) for name, value in (field or {}).items()),
        )
        if wrong := [one for one in wanted.status if one not in STATUSES]:
            raise ArgumentError(f"unknown status {wrong[0]!r}; valid are {', '.join(STATUSES)}")
        return wanted

    @property
    def embed(self) -> tuple[str, ...]:
        """What must be embedded for `apply` to tell."""
        return ("tags",) * bool(self.tag) + ("fields",) * bool(self.field)

    def apply(
        self, pipeline: Pipeline, known: Mapping[str, frozenset[str | int]] | None = None
    ) -> Pipeline:
        """Keep the deals that are wanted, and what was found about them.

        Parameters
        ----------
        pipeline
            The pipeline; it is not changed.
        known
            Names and ids that exist although no deal may have them.

        Raises
        ------
        ArgumentError
            If there is no such thing; the message names what there is.
        """
        if self == Wanted():
            return pipeline
        frame = pipeline.opportunities
        keep = np.ones(len(frame), dtype=bool)
        for name in _NAMED:
            if chosen := getattr(self, name):
                there = _there(pipeline, name) | (known or {}).get(name, frozenset())
                for one in chosen:
                    _known(name, one, there)
                keep &= _has(frame, name, chosen)
        if self.tag:
            if "tags" not in frame.columns:
                raise ArgumentError("the pipeline was loaded without tags")
            tags = frame["tags"].tolist()
            for one in self.tag:
                _known("tag", one, {tag for held in tags for tag in held or ()})
            keep &= np.array([any(one in (held or ()) for one in self.tag) for held in tags], bool)
        if self.status:
            keep &= frame["status"].isin(self.status).to_numpy(dtype=bool)
        for name, values in self.field:
            keep &= _has_field(frame, name, values, (known or {}).get("field", ()))
        kept = frame[keep]
        issues = pipeline.issues[pipeline.issues["opportunity_id"].isin(kept.index)]
        return replace(pipeline, opportunities=kept, issues=issues.reset_index(drop=True))


def select(
    loaded: Pipeline,
    /,
    *,
    milestone: Choice = None,
    tag: Choice = None,
    owner: Choice = None,
    pipeline: Choice = None,
    team: Choice = None,
    status: Choice = None,
    field: Mapping[str, Any] | None = None,
) -> Pipeline:
    """Keep some deals of a pipeline, and what was found about them.

    Of several values of one argument any will do; of several arguments all must hold.

    Parameters
    ----------
    loaded
        The pipeline; it is not changed.
    milestone
        Name or id of the milestone. A name counts in every pipeline.
    tag
        Name of the tag; needs the column ``tags``.
    owner
        User name or id of the owner.
    pipeline
        Name or id of Capsule's pipeline.
    team
        Name or id of the team.
    status
        ``"open"``, ``"won"`` or ``"lost"``.
    field
        Values by the key of their custom field; needs the column ``fields``. A value may be given
        as text too, and is read as the field's type: ``{"Seats": "12"}``.

    Raises
    ------
    ArgumentError
        If no deal has it, and the message names what there is; or if a value is none of its field's
        type.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> late = select(ca.load_sample(), milestone="Negotiation", status="open")
    >>> late.opportunities["milestone"].unique().tolist()
    ['Negotiation']
    """
    wanted = Wanted.of(
        milestone=milestone, tag=tag, owner=owner, pipeline=pipeline, team=team,
        status=status, field=field,
    )  # fmt: skip
    return wanted.apply(loaded)


class Asked(NamedTuple):
    """What a server is asked for, and what is left to do here.

    Attributes
    ----------
    query
        What it can filter by itself; it gives what is wanted, or more.
    everything
        The list without a filter, with all that is needed to filter here.
    wanted
        What is left to filter of the answer to `query`.
    known
        Names and ids that the account has although no deal may have them.
    """

    query: Query
    everything: Query
    wanted: Wanted
    known: dict[str, frozenset[str | int]]


def asked_for(
    client: CapsuleClient, wanted: Wanted, milestones: Sequence[Record], embed: tuple[str, ...]
) -> Asked:
    """Ask the server for what it can filter by one value.

    Parameters
    ----------
    client
        The account.
    wanted
        What the user chose.
    milestones
        Raw, as `CapsuleClient.fetch_milestones` returns them.
    embed
        What the user wants embedded.

    Raises
    ------
    ArgumentError
        If the account has no such milestone.
    """
    api = client.api
    more = wanted.embed if api.TYPED else ()  # v1 cannot embed
    everything = Query(embed=tuple(dict.fromkeys([*embed, *more])))
    filters: dict[str, Any] = {}
    known: dict[str, frozenset[str | int]] = {}
    if wanted.milestone:
        known["milestone"], filters["milestone"] = _milestone(wanted, milestones)
    for name, resource, key in (("owner", "users", "username"), ("team", "teams", "name")):
        if name in api.SERVER_FILTERS and (chosen := getattr(wanted, name)):
            listed = client.fetch_reference(resource)
            ids = {one[key]: one["id"] for one in listed if key in one and "id" in one}
            known[name] = frozenset(ids) | frozenset(ids.values())
            chosen = tuple(ids.get(one, one) for one in chosen)
            wanted = replace(wanted, **{name: chosen})
            filters[name] = chosen[0] if len(chosen) == 1 else None
    if "pipeline" in api.SERVER_FILTERS and wanted.pipeline:
        filters["pipeline"] = _only(
            one["pipeline_id"]
            for one in milestones
            if not {one["pipeline"], one["pipeline_id"]}.isdisjoint(wanted.pipeline)
        )
    if wanted.field and api.TYPED:
        definitions = map(definition_of, client.fetch_reference("definitions"))
        known["field"] = frozenset(field_keys(definitions).values())
    for name in ("owner", "team", "pipeline"):  # by name, it is found on the deals alone
        if not isinstance(filters.get(name), int):
            filters.pop(name, None)
    here = wanted
    if len(wanted.tag) == 1:
        filters["tag"], here = str(wanted.tag[0]), replace(wanted, tag=())
    inside = here.embed if api.TYPED else ()
    query = Query(embed=tuple(dict.fromkeys([*embed, *inside])), **filters)
    return Asked(query, everything, here, known)


def _milestone(
    wanted: Wanted, milestones: Sequence[Record]
) -> tuple[frozenset[str | int], str | None]:
    """Return the milestones that there are, and the one name that all that are wanted have."""
    names = {int(one["id"]): one["name"] for one in milestones if str(one["id"]).isdecimal()}
    there = frozenset(one["name"] for one in milestones)
    known: frozenset[str | int] = there | frozenset(names)
    if wrong := [one for one in wanted.milestone if one not in known]:
        valid = ", ".join(dict.fromkeys(str(one["name"]) for one in milestones))
        raise ArgumentError(f"unknown milestone {wrong[0]!r}; valid are {valid}")
    name = _only(one if one in there else names[int(one)] for one in wanted.milestone)
    return known, None if name is None else str(name)


def _only(values: Iterable[Any]) -> Any:  # noqa: ANN401 - a name or an id
    """Return the value that all are; None if there are several, or none."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _several(value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - one value or several
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)


def _there(pipeline: Pipeline, name: str) -> set[str | int]:
    """Return the names and ids that there are of a kind, on deals or as milestones."""
    frame, milestones = pipeline.opportunities, pipeline.milestones
    columns = [frame[column] for column in (name, f"{name}_id") if column in frame.columns]
    if name == "milestone":
        columns.append(milestones["name"])
        if milestones.index.name == "id":
            columns.append(milestones.index.to_series())
    if name == "pipeline":
        columns += [milestones[n] for n in ("pipeline", "pipeline_id") if n in milestones.columns]
    return {value for column in columns for value in column.dropna().unique().tolist()}


def _has(frame: pd.DataFrame, name: str, chosen: tuple[str | int, ...]) -> Any:  # noqa: ANN401 - a numpy array
    names = [one for one in chosen if isinstance(one, str)]
    ids = [one for one in chosen if not isinstance(one, str)]
    has = frame[name].isin(names).to_numpy(dtype=bool)
    if ids and f"{name}_id" in frame.columns:
        has = has | frame[f"{name}_id"].isin(ids).to_numpy(dtype=bool, na_value=False)
    return has


def _has_field(
    frame: pd.DataFrame, name: str, values: tuple[Any, ...], known: Iterable[str | int]
) -> Any:  # noqa: ANN401 - a numpy array
    """Tell which deals have one of some values in a custom field, read as its values are."""
    if "fields" not in frame.columns:
        raise ArgumentError("the pipeline was loaded without custom fields")
    each = [fields or {} for fields in frame["fields"].tolist()]
    _known("custom field", name, {key for fields in each for key in fields} | set(known))
    held = [fields.get(name) for fields in each]
    kinds = _TYPED & {type(one) for one in held}
    words = {one for one in held if isinstance(one, str)}
    wanted = {_text(value) for value in values}
    wanted |= {_text(_read(kind, name, one)) for one in wanted - words for kind in kinds}
    return np.array([one is not None and _text(one) in wanted for one in held], bool)


_TYPED = {int, float, bool, date}


def _read(kind: type, name: str, text: str) -> object:
    """Read the text of a value that is asked for as a field of a kind has it.

    Raises
    ------
    ArgumentError
        If it is none, so that no deal could ever have it.
    """
    try:
        if kind is bool:
            return {"true": True, "yes": True, "false": False, "no": False}[text.strip().lower()]
        if kind is date:
            return date.fromisoformat(text.strip())
        number = float(text)
    except (ValueError, KeyError):
        what = {bool: "true or false", date: "a date, YYYY-MM-DD"}.get(kind, "a number")
        raise ArgumentError(f"the custom field {name!r} is {what}, not {text!r}") from None
    return int(number) if number.is_integer() else number


def _text(value: object) -> str:
    """Write a field's value so that equal ones are the same text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _known(what: str, wanted: str | int, there: Iterable[str | int]) -> None:
    if wanted in there and not isinstance(wanted, bool):
        return
    names = sorted(str(one) for one in there if isinstance(one, str))
    raise ArgumentError(
        f"no deal has the {what} {wanted!r}; there are {', '.join(names) or 'none'}"
    )
