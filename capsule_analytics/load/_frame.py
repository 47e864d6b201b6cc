"""Wire records in, page by page, one typed frame out.

Each page goes into the buffers of its columns and is forgotten, so that memory follows the size
of the frame and not that of the records as Python objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from capsule_analytics import _kinds as kinds
from capsule_analytics import quality
from capsule_analytics.errors import DataError
from capsule_analytics.schema import (
    COLUMNS,
    TEXT,
    Pipeline,
    as_day,
    status_of,
    total_contract_value,
)

from . import _values as convert
from ._columns import BUFFERS
from ._fields import typed_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from capsule_analytics.api import Field, RawColumns


class Wants(NamedTuple):
    """What must be known of an account to understand its opportunities.

    Attributes
    ----------
    milestones
        Ids of the milestones that they refer to.
    lost_reasons
        Whether any has a lost reason.
    usernames
        Whether an owner goes by several names.
    definitions
        Whether any has custom fields.
    currencies
        Whether anything came whose currency could be checked.
    """

    milestones: frozenset[int]
    lost_reasons: bool
    usernames: bool
    definitions: bool
    currencies: bool


@dataclass(frozen=True)
class Setting:
    """What an account is set up with, as far as it explains its opportunities.

    Attributes
    ----------
    milestones
        The configuration, as `milestone_frame` makes it.
    currencies
        Its currencies, ISO 4217; empty where they are not known.
    lost_reasons
        Whether a reason for losing counts in the win rate, by its id.
    usernames
        The user name that each owner has today, by id; empty where that is not in doubt.
    definitions
        Definitions of its custom fields, with the type in place of a value.
    """

    milestones: pd.DataFrame
    currencies: Sequence[str] = ()
    lost_reasons: Mapping[int, bool] = field(default_factory=dict)
    usernames: Mapping[int, str] = field(default_factory=dict)
    definitions: Sequence[Field] = ()


class Assembler:
    """Collects pages of raw records and types them as they come.

    Parameters
    ----------
    typed
        Whether the wire has numbers of its own (JSON) or knows only text (XML).
    """

    def __init__(self, *, typed: bool) -> None:
        self._rows = 0
        self._replaced_from: int | None = None
        self._problems: list[convert.Problem] = []
        self._buffers = {
            column.name: BUFFERS[column.kind](column.name, self._problems, typed=typed)
            for column in COLUMNS
        }
        # Not in the frame: reasons have names that can change, so their ids tell what counts.
        self._reasons = BUFFERS[kinds.INTEGER]("lost_reason_id", self._problems, typed=typed)

    def add(self, page: RawColumns) -> None:
        """Take one page of raw records."""
        count = len(page["id"])
        for name, buffer in self._buffers.items():
            buffer.extend(page[name] if name in page else [None] * count, self._rows)
        self._reasons.extend(page.get("lost_reason_id", [None] * count), self._rows)
        self._rows += count

    def renew(self, page: RawColumns) -> None:
        """Take records in place of those of the same ids that pages brought before."""
        if self._replaced_from is None:
            self._replaced_from = self._rows
        self.add(page)

    def wants(self) -> Wants:
        """Tell what must be known of the account to understand what came; pages are done."""
        self._done = {name: self._buffers.pop(name).finish() for name in list(self._buffers)}
        self._done["lost_reason_id"] = self._reasons.finish()
        done = self._done
        ids = [done[name].dropna() for name in ("milestone_id", "last_open_milestone_id")]
        return Wants(
            milestones=frozenset(int(key) for key in np.unique(np.concatenate(ids))),
            lost_reasons=not done["lost_reason_id"].isna().all(),
            usernames=bool(_of_several_names(done["owner_id"], done["owner"])),
            definitions=any(held is not None for held in done["fields"]),
            currencies=self._rows > 0,
        )

    def finish(
        self, setting: Setting, *, gone: frozenset[int] = frozenset()
    ) -> tuple[pd.DataFrame, list[quality.Finding]]:
        """Join everything into the frame; the assembler is empty afterwards.

        Parameters
        ----------
        setting
            What the account is set up with.
        gone
            Ids to leave out: deleted after they were read.

        Returns
        -------
        The frame of `schema.COLUMNS` with ``tcv`` and ``status``, and what was found while
        reading: unreadable values, records without an id, ids that came more than once.
        """
        if self._buffers:
            self.wants()
        columns = self._done
        reasons = columns.pop("lost_reason_id")
        columns["fields"] = typed_fields(columns["fields"], setting.definitions, self._problems)
        ids, findings = _identities(columns.pop("id"))
        updated = columns["updated_at"]
        # Newest last within an id; NaT sorts last in numpy, so it is made the oldest.
        age = np.where(np.isnat(updated), np.datetime64("0001-01-01", "us"), updated)
        order = np.lexsort((np.arange(len(ids)), age, ids))
        if self._replaced_from is not None:
            replacing = order >= self._replaced_from
            order = order[replacing | ~np.isin(ids[order], ids[self._replaced_from :])]
        ordered = ids[order]
        last = np.append(ordered[1:] != ordered[:-1], [True] * bool(len(ordered))).astype(bool)
        counts = np.diff(np.flatnonzero(last), prepend=-1)
        keep = order[last]
        if gone:
            stays = ~np.isin(ids[keep], list(gone))
            keep, counts = keep[stays], counts[stays]
        ids = ids[keep]
        findings += [
            quality.Finding(int(ids[i]), "duplicate_id", f"{counts[i]} records; newest kept")
            for i in np.flatnonzero(counts > 1)
        ]
        where = pd.Series(ids, index=keep)
        findings += [
            quality.Finding(int(where[problem.row]), problem.check, problem.detail)
            for problem in self._problems
            if problem.row in where.index
        ]
        index = pd.Index(ids, name="id", dtype="int64")
        frame = _derive(_frame(columns, keep, index), setting.milestones, findings)
        frame["owner"] = _by_newest_name(frame, "owner", setting.usernames)
        frame["team"] = _by_newest_name(frame, "team", {})
        frame["counts_for_conversion"] = _counting(frame, reasons[keep], setting.lost_reasons)
        return frame, findings


def _identities(ids: pd.arrays.IntegerArray) -> tuple[NDArray[np.int64], list[quality.Finding]]:
    """Return the ids; records without one get negative ones, so that none is lost."""
    missing = np.flatnonzero(ids.isna())
    values = np.array(ids.to_numpy(dtype=np.int64, na_value=0))
    lowest = int(values.min(initial=0))
    if lowest - len(missing) >= np.iinfo(np.int64).min:
        values[missing] = np.arange(lowest - len(missing), lowest)[::-1]
    else:  # an id stands at the very end of the numbers: take what is free before it
        taken = set(values.tolist())
        values[missing] = list(islice((n for n in count(-1, -1) if n not in taken), len(missing)))
    return values, [
        quality.Finding(int(values[row]), "missing_id", "kept under a negative number")
        for row in missing
    ]


def _frame(columns: dict[str, Any], keep: NDArray[np.intp], index: pd.Index) -> pd.DataFrame:
    """Take the kept rows of each column, one column at a time."""
    data: dict[str, Any] = {}
    for column in COLUMNS[1:]:
        part = columns.pop(column.name)[keep]
        match column.kind:
            case kinds.TEXTS:
                part = pd.array(part, dtype=TEXT)
            case kinds.PERCENT:
                part = part / 100
            case kinds.DATE | kinds.MOMENT:
                part = pd.DatetimeIndex(part).tz_localize("UTC")
            case kinds.CATEGORY:
                part = part.remove_unused_categories()  # those of records that were replaced
            case _ if column.optional and pd.isna(part).all():
                continue
        data[column.name] = part
    return pd.DataFrame(data, index=index, copy=False)


def milestone_frame(records: Sequence[Mapping[str, Any]], *, typed: bool) -> pd.DataFrame:
    """Type the milestone configuration.

    Parameters
    ----------
    records
        Raw milestones: ``id``, ``name``, ``description``, ``probability`` in percent,
        ``complete`` as a boolean or its name in XML, ``pipeline``, ``pipeline_id``,
        ``days_until_stale``, ``archived``; what a wire lacks may be left out.
    typed
        Whether the wire has numbers of its own.

    Returns
    -------
    The columns of ``Pipeline.milestones``; index ``id`` if any milestone has one (others get
    negative ones; of several with the same id the first stays), else positions.

    Raises
    ------
    DataError
        If an id is no whole number or a probability no number from 0 to 100, or a milestone that
        closes deals has none, so that won and lost cannot be told apart: no forecast can stand
        on it.
    """
    problems: list[convert.Problem] = []
    raw = {
        name: [record.get(name) for record in records]
        for name in (
            "id",
            "name",
            "description",
            "probability",
            "pipeline",
            "pipeline_id",
            "days_until_stale",
        )
    }
    percent = convert.numbers("probability", raw["probability"], problems, typed=typed)
    ids = convert.integers("id", raw["id"], problems, typed=typed)
    wrong = [problem.detail for problem in problems if problem.check != "text_number"]
    complete = np.array([str(record.get("complete")).lower() == "true" for record in records], bool)
    wrong += [f"probability is {value:g}" for value in percent if value < 0 or value > 100]  # noqa: PLR2004
    wrong += ["a milestone that closes deals has no probability"] * int(
        (complete & np.isnan(percent)).any()
    )
    if wrong:
        raise DataError(f"the milestone configuration cannot be used: {wrong[0]}")
    has_ids = len(records) > 0 and not ids.isna().all()
    # Neither decides over a figure of the forecast, so what cannot be read is just missing.
    others = {
        name: convert.integers(name, raw[name], [], typed=typed)
        for name in ("pipeline_id", "days_until_stale")
    }
    index = None
    if has_ids:
        numbers = np.array(ids.to_numpy(dtype=np.int64, na_value=0))
        missing = np.flatnonzero(ids.isna())
        numbers[missing] = -1 - np.arange(len(missing))
        index = pd.Index(numbers, name="id")
    table = pd.DataFrame(
        {
            "name": pd.array(convert.texts("name", raw["name"], problems), dtype=TEXT),
            "description": pd.array(
                convert.texts("description", raw["description"], problems), dtype=TEXT
            ),
            "probability": percent / 100,
            "complete": complete,
            "pipeline": pd.array(convert.texts("pipeline", raw["pipeline"], problems), dtype=TEXT),
            **others,
            "archived": np.array([record.get("archived") is True for record in records], bool),
        },
        index=index,
    )
    return table[~table.index.duplicated()]


def _derive(
    frame: pd.DataFrame, milestones: pd.DataFrame, findings: list[quality.Finding]
) -> pd.DataFrame:
    """Join the milestones and add probability, status and TCV."""
    at = _milestone_positions(frame, milestones)
    known = at >= 0

    def of_milestone(column: str, missing: object) -> NDArray[Any]:
        values = np.append(milestones[column].to_numpy(dtype=object), [missing])
        result: NDArray[Any] = values[at]
        return result

    # A deal keeps the name and id that it came with; what it lacks is its milestone's.
    for column, target in (("name", "milestone"), ("pipeline", "pipeline")):
        own = frame[target].astype(object).to_numpy()
        filled = np.where(pd.isna(own), of_milestone(column, None), own)
        frame[target] = pd.Categorical(pd.Series(filled, dtype=object))
    if milestones.index.name == "id":
        frame["milestone_id"] = _filled(frame["milestone_id"], milestones.index, at)
        names = dict(zip(milestones.index, milestones["name"].astype(object), strict=True))
        last = frame["last_open_milestone"].astype(object)
        by_id = frame["last_open_milestone_id"].astype(object).map(names)
        frame["last_open_milestone"] = pd.Categorical(last.where(last.notna(), by_id))
    frame["pipeline_id"] = _filled(frame["pipeline_id"], milestones["pipeline_id"], at)
    chance = of_milestone("probability", np.nan).astype(np.float64)
    status = status_of(of_milestone("complete", missing=False).astype(bool), chance)
    own = frame["probability"].to_numpy(copy=True)
    outside = (own < 0) | (own > 1)
    findings += [
        quality.Finding(int(key), "probability_out_of_range", f"{100 * value:g} %")
        for key, value in zip(frame.index[outside], own[outside], strict=True)
    ]
    own[outside] = np.nan
    frame["own_probability"] = own
    frame["milestone_known"] = known
    closed = np.select([status == "won", status == "lost"], [1.0, 0.0], np.nan)
    frame["probability"] = np.where(np.isnan(closed), np.where(np.isnan(own), chance, own), closed)
    frame["tcv"] = total_contract_value(
        frame["value"].to_numpy(), frame["duration_basis"], frame["duration"]
    )
    frame["status"] = status.array
    return frame


def _filled(own: pd.Series, of_milestones: Any, at: NDArray[np.intp]) -> pd.Series:  # noqa: ANN401 - an index, or a column
    """Fill in what a deal lacks from the milestone that it stands at."""
    values = pd.array([*of_milestones, None], dtype="Int64")
    return own.where(own.notna(), pd.Series(values[at], index=own.index))


def _milestone_positions(frame: pd.DataFrame, milestones: pd.DataFrame) -> NDArray[np.intp]:
    """Find each deal's row in the configuration, -1 where there is none.

    A deal that has an id is joined by it alone, because names repeat across pipelines. The name
    is for wires without ids, and counts only if all milestones of that name mean the same.
    """
    by_id = milestones.index.name == "id"
    at = np.full(len(frame), -1, dtype=np.intp)
    if by_id:
        ids = frame["milestone_id"].to_numpy(dtype=np.int64, na_value=_NO_ID)
        at = milestones.index.get_indexer(ids).astype(np.intp)
    meanings = milestones.groupby("name")[["probability", "complete"]].nunique().max(axis=1)
    first = {
        name: int(np.flatnonzero(milestones["name"].eq(name).fillna(value=False))[0])
        for name in meanings.index[meanings == 1]
    }
    names = frame["milestone"].cat
    by_name = np.array([*(first.get(name, -1) for name in names.categories), -1], dtype=np.intp)
    named = frame["milestone_id"].isna().to_numpy() if by_id else np.ones(len(frame), dtype=bool)
    return np.where(named, by_name[names.codes.to_numpy()], at)


def _of_several_names(ids: pd.arrays.IntegerArray, names: pd.Categorical) -> set[int]:
    """Return the ids that go by more than one name."""
    given = ~(ids.isna() | (names.codes < 0))
    pairs = pd.DataFrame({"id": ids.to_numpy(np.int64, na_value=0), "name": names.codes})[given]
    counts = pairs.drop_duplicates()["id"].value_counts()
    return set(counts.index[counts > 1])


def _by_newest_name(frame: pd.DataFrame, column: str, today: Mapping[int, str]) -> pd.Series:
    """Show each owner or team by one name: today's, or that of its deal that changed last."""
    ids = frame[f"{column}_id"]
    several = _of_several_names(ids.array, frame[column].array)
    if not several:
        return frame[column]
    doubtful = ids.isin(several) & frame[column].notna()
    newest = frame[doubtful].sort_values("updated_at", kind="stable", na_position="first")
    names = newest.groupby(f"{column}_id")[column].last().astype(object).to_dict()
    names |= {key: name for key, name in today.items() if key in several}
    shown = frame[column].astype(object).where(~ids.isin(several), ids.astype(object).map(names))
    return pd.Series(pd.Categorical(shown), index=frame.index)


def _counting(
    frame: pd.DataFrame, reasons: pd.arrays.IntegerArray, counts: Mapping[int, bool]
) -> pd.arrays.BooleanArray:
    """Tell which lost deals count in the win rate, as far as their reasons tell."""
    lost = (frame["status"] == "lost").to_numpy()
    known = np.array([key in counts for key in reasons], dtype=bool) & lost
    values = np.array([counts.get(key, False) for key in reasons], dtype=bool)
    return pd.arrays.BooleanArray(values & known, ~known)


_NO_ID = -(2**63)
"""No milestone's id: Capsule's are positive, and those without one count down from -1."""


def assemble(
    pages: Iterable[RawColumns],
    *,
    typed: bool,
    milestones: pd.DataFrame,
    currencies: Sequence[str] = (),
    lost_reasons: Mapping[int, bool] | None = None,
    usernames: Mapping[int, str] | None = None,
    definitions: Sequence[Field] = (),
    **about: Any,  # noqa: ANN401
) -> Pipeline:
    """Turn all pages of an account into its `Pipeline`, with every check made.

    Parameters
    ----------
    pages
        Raw pages, in any order.
    typed
        Whether the wire has numbers of its own.
    milestones, currencies, lost_reasons, usernames, definitions
        As for `Setting`.
    **about
        As for `finish_pipeline`.
    """
    assembler = Assembler(typed=typed)
    for page in pages:
        assembler.add(page)
    setting = Setting(milestones, currencies, lost_reasons or {}, usernames or {}, definitions)
    return finish_pipeline(assembler, setting, **about)


def finish_pipeline(
    assembler: Assembler,
    setting: Setting,
    *,
    loaded_at: pd.Timestamp,
    as_of: date,
    account: str,
    repeats: bool = False,
    gone: frozenset[int] = frozenset(),
) -> Pipeline:
    """Join what an assembler has collected, and check it.

    Parameters
    ----------
    assembler
        Has taken every page.
    setting
        What the account is set up with.
    loaded_at
        When the load began, UTC.
    as_of
        The day from which deals are overdue.
    account
        Name of the account.
    repeats
        Whether pages were read more than once, so that an id that came twice is no finding.
    gone
        Ids to leave out: deleted after they were read.
    """
    day = as_day(as_of)
    frame, findings = assembler.finish(setting, gone=gone)
    if repeats:
        findings = [finding for finding in findings if finding.check != "duplicate_id"]
    return Pipeline(
        opportunities=frame.drop(columns=["own_probability", "milestone_known"]),
        milestones=setting.milestones,
        issues=quality.check(frame, findings, setting.milestones, setting.currencies, day),
        loaded_at=loaded_at,
        as_of=day,
        account=account,
    )
