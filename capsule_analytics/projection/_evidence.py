"""What an account tells about its past: deals, how they stood on earlier days, how they ended.

A *sighting* is an open deal on a day. Snapshots show sightings as they were. For month ends
without a snapshot they are rebuilt from ``created_at`` and ``closed_at``, and then lack what
Capsule overwrites (milestone, dates, probability).

Days are whole numbers since 1970, and months since year 0; nothing here knows a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

Floats = "NDArray[np.float64]"
Ints = "NDArray[np.int64]"

OPEN, WON, LOST, VANISHED = 0, 1, 2, 3
NEVER = np.int64(2**40)
"""The day on which a deal ends that has not ended."""
_EPOCH = date(1970, 1, 1)
# Older months tell nothing of how the account sells today, and cost time.
_REBUILT_MONTHS = 48
# Longer lists are thinned, by deal, so that fitting stays fast.
_MOST_SIGHTINGS = 12_000
_DAYS_A_MONTH = 365.25 / 12
_UNSEEN = -2
COLUMNS = (
    *("status", "tcv", "probability", "currency", "created_at", "closed_at", "expected_close"),
    *("last_stage_changed_at", "updated_at", "last_contacted_at", "milestone", "milestone_id"),
    *("pipeline", "pipeline_id", "owner", "owner_id", "team", "team_id", "party", "party_id"),
)
"""The columns of the frame that a projection looks at."""
_SPLITS = ("team", "party")


def day_number(day: date) -> int:
    """Count the days since 1970."""
    return (day - _EPOCH).days


def day_from(number: int) -> date:
    """Turn a day number into a date."""
    return _EPOCH + timedelta(days=int(number))


def month_of(days: Any) -> Any:  # noqa: ANN401 - numbers and arrays alike
    """Give the calendar month of day numbers, counted from year 0."""
    return np.asarray(days, dtype="datetime64[D]").astype("datetime64[M]").astype(np.int64) + 23640


def month_start(months: Any) -> Any:  # noqa: ANN401 - numbers and arrays alike
    """Give the day number on which months begin."""
    first = (np.asarray(months, dtype=np.int64) - 23640).astype("datetime64[M]")
    return first.astype("datetime64[D]").astype(np.int64)


@dataclass(frozen=True)
class Deals:
    """Every deal that was ever seen, as it is known at last; one entry a deal in each array.

    Attributes
    ----------
    ids
        Capsule's ids, ascending.
    known
        The day from which the deal was in the list.
    end
        The day on which it ended, or `NEVER`.
    kind
        How it ended: `OPEN`, `WON`, `LOST` or `VANISHED`.
    tcv
        Its last total contract value, NaN where unknown.
    currency, pipeline, owner
        Codes into the account's lists; -1 is none.
    """

    ids: NDArray[np.int64]
    known: NDArray[np.int64]
    end: NDArray[np.int64]
    kind: NDArray[np.int64]
    tcv: NDArray[np.float64]
    currency: NDArray[np.int64]
    pipeline: NDArray[np.int64]
    owner: NDArray[np.int64]


@dataclass(frozen=True)
class Sightings:
    """Open deals on days; one entry a sighting in each array, sorted by day and deal.

    Attributes
    ----------
    deal
        Position in `Deals`.
    day
        The day at whose end it stood so.
    seen
        Whether a snapshot showed it, so that what follows is known.
    age, at_milestone, since_update, since_contact
        Months since it was entered, moved to its milestone, changed, contacted; NaN if unknown.
    due
        Day number of the expected close; NaN if there is none.
    probability
        As stated, 0 to 1.
    tcv
        Total contract value, NaN where unknown.
    relative
        Log of the value relative to the median of the day's open deals of its currency; 0 unknown.
    milestone, pipeline, owner, currency
        Codes into the account's lists; -1 is none.
    pushes
        How often snapshots before saw the expected close move to a later month.
    """

    deal: NDArray[np.int64]
    day: NDArray[np.int64]
    seen: NDArray[np.bool_]
    age: NDArray[np.float64]
    at_milestone: NDArray[np.float64]
    since_update: NDArray[np.float64]
    since_contact: NDArray[np.float64]
    due: NDArray[np.float64]
    probability: NDArray[np.float64]
    tcv: NDArray[np.float64]
    relative: NDArray[np.float64]
    milestone: NDArray[np.int64]
    pipeline: NDArray[np.int64]
    owner: NDArray[np.int64]
    currency: NDArray[np.int64]
    pushes: NDArray[np.float64]

    def __len__(self) -> int:
        """Count the sightings."""
        return len(self.deal)

    def where(self, keep: NDArray[Any]) -> Sightings:
        """Keep some of the sightings, by mask or position."""
        return Sightings(**{name: array[keep] for name, array in vars(self).items()})


@dataclass(frozen=True)
class Split:
    """What deals are split by and nothing is learnt from.

    Attributes
    ----------
    names
        What the codes stand for.
    of_deal
        The code of each deal as it is known at last; -1 is none.
    """

    names: tuple[str, ...]
    of_deal: NDArray[np.int64]


@dataclass(frozen=True)
class History:
    """An account's past.

    Attributes
    ----------
    today
        The as-of day of the newest pipeline; it counts as over.
    first
        The first month of which the account tells.
    deals, sightings
        What was seen; the sightings of past days only.
    present
        The deals that are open today.
    snapshot_days
        The days that snapshots show, ascending, today last.
    currencies, milestones, pipelines, owners
        What the codes stand for.
    account
        Name of the account.
    teams, parties
        Whose the deals are, and for whom.
    """

    today: int
    first: int
    deals: Deals
    sightings: Sightings
    present: Sightings
    snapshot_days: tuple[int, ...]
    currencies: tuple[str, ...]
    milestones: tuple[str, ...]
    pipelines: tuple[str, ...]
    owners: tuple[str, ...]
    account: str
    teams: Split = field(default_factory=lambda: Split((), np.zeros(0, dtype=np.int64)))
    parties: Split = field(default_factory=lambda: Split((), np.zeros(0, dtype=np.int64)))


class Codes:
    """Names by key in the order in which they come, so that a renamed thing stays one."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self.names: list[str] = []

    def of(self, keys: pd.Series, names: pd.Series) -> NDArray[np.int64]:
        """Give each key its number, -1 where it is missing; the last name of a key counts."""
        codes, unique = pd.factorize(keys)
        shown = names.astype(object).to_numpy()
        numbers = np.full(len(unique) + 1, -1, dtype=np.int64)
        firsts = np.unique(codes, return_index=True)
        first_of = dict(zip(firsts[0].tolist(), firsts[1].tolist(), strict=True))
        for position, key in enumerate(unique):
            number = self._numbers.setdefault(key, len(self.names))
            name = str(shown[first_of[position]])
            if number == len(self.names):
                self.names.append(name)
            else:
                self.names[number] = name
            numbers[position] = number
        return np.asarray(numbers[codes])


def read(pipelines: Pipeline | Iterable[Pipeline]) -> History:
    """Turn the snapshots of one account into its history.

    Parameters
    ----------
    pipelines
        One or more pipelines of one account, in any order. Of several of one day the latest
        loaded counts; the newest is the account today.

    Raises
    ------
    ArgumentError
        If there is none, one is no pipeline, or they are of several accounts.
    """
    ordered = in_order(pipelines)
    codes = _no_codes()
    return _history(ordered, [_read_one(pipeline, codes) for pipeline in ordered], codes)


def read_each(pipelines: Iterable[Pipeline]) -> Iterator[History]:
    """Give what `read` gives of the first pipeline, of the first two, and so on, read once each.

    Parameters
    ----------
    pipelines
        As `in_order` gives them.
    """
    codes = _no_codes()
    ordered: list[Pipeline] = []
    frames: list[pd.DataFrame] = []
    for pipeline in pipelines:
        ordered.append(pipeline)
        frames.append(_read_one(pipeline, codes))
        yield _history(ordered, frames, codes)


def _no_codes() -> dict[str, Codes]:
    """Begin to number the names of each kind."""
    learnt = ("currency", "milestone", "pipeline", "owner")
    return {name: Codes() for name in (*learnt, *_SPLITS)}


def _history(
    ordered: Sequence[Pipeline], frames: Sequence[pd.DataFrame], codes: Mapping[str, Codes]
) -> History:
    """Make one history of pipelines that have been read, oldest first."""
    today = ordered[-1]
    days = [day_number(pipeline.as_of) for pipeline in ordered]
    deals, position, splits = _deals(frames, days)
    seen = _seen(frames, days, deals, position)
    present = seen.where(seen.day == days[-1])
    past = seen.where(_last_of_month(days, seen.day))
    first = int(month_of(deals.known.min())) if len(deals.ids) else int(month_of(days[-1]))
    first = max(first, int(month_of(days[-1])) - _REBUILT_MONTHS)
    rebuilt = _rebuilt(deals, days, first)
    sightings = _joined([rebuilt, _thinned(past)])
    return History(
        today=days[-1],
        first=first,
        deals=deals,
        sightings=sightings,
        present=present,
        snapshot_days=tuple(days),
        currencies=tuple(codes["currency"].names),
        milestones=tuple(codes["milestone"].names),
        pipelines=tuple(codes["pipeline"].names),
        owners=tuple(codes["owner"].names),
        account=today.account,
        teams=Split(tuple(codes["team"].names), splits["team"]),
        parties=Split(tuple(codes["party"].names), splits["party"]),
    )


def in_order(pipelines: Pipeline | Iterable[Pipeline]) -> list[Pipeline]:
    """Check the pipelines and sort them by day, one a day."""
    given = [pipelines] if isinstance(pipelines, Pipeline) else list(pipelines)
    if not given:
        raise ArgumentError("a projection needs at least one pipeline")
    for one in given:
        if not isinstance(one, Pipeline):
            raise ArgumentError(f"a projection is fitted to pipelines, not {type(one).__name__}")
    accounts = sorted({one.account for one in given if one.account})
    if len(accounts) > 1:
        raise ArgumentError(f"the pipelines are of several accounts: {', '.join(accounts)}")
    latest: dict[date, Pipeline] = {}
    for one in sorted(given, key=lambda p: (p.as_of, p.loaded_at)):
        latest[one.as_of] = one
    return list(latest.values())


def _days(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Give a date column as day numbers, NaN where missing or absent."""
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    column = pd.to_datetime(frame[name], utc=True).dt.tz_localize(None)
    days = column.to_numpy().astype("datetime64[D]")
    return np.where(np.isnat(days), np.nan, days.astype(np.float64))


def _keys(frame: pd.DataFrame, name: str) -> tuple[pd.Series, pd.Series]:
    """Give the identity and the name of what a column holds: by id where there is one."""
    if name not in frame.columns:
        nothing = pd.Series(pd.NA, index=frame.index, dtype="object")
        return nothing, nothing
    names = frame[name].astype("object")
    if name == "party" and "party_id" in frame.columns:  # API v1 gives no names
        names = names.where(names.notna(), frame["party_id"].astype("string").astype("object"))
    if name == "milestone" and "pipeline" in frame.columns:
        keys = names.where(
            frame["pipeline"].isna(), names.astype(str) + "\n" + frame["pipeline"].astype(str)
        )
    else:
        keys = names
    if f"{name}_id" in frame.columns and name != "party":
        ids = frame[f"{name}_id"].astype("object")
        keys = ids.where(ids.notna(), keys)
    return keys.where(keys.notna() & names.notna(), None), names


def _read_one(pipeline: Pipeline, codes: dict[str, Codes]) -> pd.DataFrame:
    """Bring one snapshot into plain numbers, one row a deal."""
    frame = pipeline.opportunities
    status = frame["status"].astype("object").map({"open": OPEN, "won": WON, "lost": LOST})
    rows = {
        "status": status.fillna(OPEN).to_numpy(dtype=np.int64),
        "tcv": frame["tcv"].to_numpy(dtype=np.float64, na_value=np.nan),
        "probability": frame["probability"].to_numpy(dtype=np.float64, na_value=np.nan),
        "created": _days(frame, "created_at"),
        "closed": _days(frame, "closed_at"),
        "due": _days(frame, "expected_close"),
        "moved": _days(frame, "last_stage_changed_at"),
        "updated": _days(frame, "updated_at"),
        "contacted": _days(frame, "last_contacted_at"),
    }
    for name, known in codes.items():
        keys, names = _keys(frame, name)
        if name == "milestone":  # where ended deals stand tells nothing of open ones
            keys = keys.where(rows["status"] == OPEN, None)
        rows[name] = known.of(keys, names)
    return pd.DataFrame(rows, index=frame.index.to_numpy(dtype=np.int64))


def _deals(
    frames: Sequence[pd.DataFrame], days: Sequence[int]
) -> tuple[Deals, pd.Index, dict[str, NDArray[np.int64]]]:
    """Join the snapshots to one entry a deal, as the last that shows it does."""
    rows = pd.concat(
        [frame.assign(day=day) for frame, day in zip(frames, days, strict=True)], sort=False
    )
    rows.index.name = "id"
    grouped = rows.groupby("id", sort=True)
    last = grouped.tail(1).sort_index()
    first_day = grouped["day"].first().to_numpy(dtype=np.int64)
    created = grouped["created"].first().to_numpy(dtype=np.float64)
    known = np.where(np.isnan(created), first_day, np.minimum(np.nan_to_num(created), first_day))
    # The day on which the present ending was first seen stands in for a missing closing day.
    ended = rows[rows["status"] != OPEN]
    ended = ended[ended["status"].to_numpy() == last["status"].reindex(ended.index).to_numpy()]
    first_ended = ended.groupby("id")["day"].first().reindex(last.index)
    kind = last["status"].to_numpy(dtype=np.int64)
    closed = last["closed"].to_numpy(dtype=np.float64)
    found = np.fmin(first_ended.to_numpy(dtype=np.float64), last["due"].to_numpy(dtype=np.float64))
    closed = np.where(np.isnan(closed), found, closed)
    last_day = last["day"].to_numpy(dtype=np.int64)
    following = np.append(np.asarray(days, dtype=np.int64), NEVER)
    gone_on = following[np.searchsorted(days, last_day, side="right")]
    gone = (kind == OPEN) & (last_day < days[-1])
    end = np.where(kind == OPEN, np.where(gone, gone_on, NEVER), np.nan_to_num(closed, nan=0))
    deals = Deals(
        ids=last.index.to_numpy(dtype=np.int64),
        known=known.astype(np.int64),
        end=end.astype(np.int64),
        kind=np.where(gone, VANISHED, kind),
        tcv=last["tcv"].to_numpy(dtype=np.float64),
        currency=last["currency"].to_numpy(dtype=np.int64),
        pipeline=last["pipeline"].to_numpy(dtype=np.int64),
        owner=last["owner"].to_numpy(dtype=np.int64),
    )
    return deals, last.index, {name: last[name].to_numpy(dtype=np.int64) for name in _SPLITS}


def _seen(
    frames: Sequence[pd.DataFrame], days: Sequence[int], deals: Deals, position: pd.Index
) -> Sightings:
    """List the open deals of every snapshot, with what the snapshots before tell of them."""
    parts: list[Sightings] = []
    pushes = np.zeros(len(deals.ids))
    due_before = np.full(len(deals.ids), np.nan)
    milestone_before = np.full(len(deals.ids), _UNSEEN, dtype=np.int64)
    moved_before = np.full(len(deals.ids), np.nan)
    for number, (frame, day) in enumerate(zip(frames, days, strict=True)):
        rows = frame[frame["status"] == OPEN]
        deal = position.get_indexer(rows.index)
        due = rows["due"].to_numpy()
        both = ~np.isnan(due) & ~np.isnan(due_before[deal])
        later = np.zeros(len(deal), dtype=bool)
        later[both] = month_of(due[both].astype(np.int64)) > month_of(
            due_before[deal][both].astype(np.int64)
        )
        pushes[deal] += later
        due_before[deal] = due
        milestone = rows["milestone"].to_numpy()
        # Without a column that tells, the day between two snapshots on which it moved is halved.
        created = deals.known[deal].astype(np.float64)
        guess = np.where(milestone_before[deal] == _UNSEEN, created, (days[number - 1] + day) / 2)
        moved = np.where(milestone_before[deal] == milestone, moved_before[deal], guess)
        stated = rows["moved"].to_numpy()
        moved = np.where(np.isnan(stated), moved, stated)
        moved_before[deal], milestone_before[deal] = moved, milestone
        parts.append(
            Sightings(
                deal=deal,
                day=np.full(len(deal), day, dtype=np.int64),
                seen=np.ones(len(deal), dtype=bool),
                age=_months(day - created),
                at_milestone=_months(day - moved),
                since_update=_months(day - rows["updated"].to_numpy()),
                since_contact=_months(day - rows["contacted"].to_numpy()),
                due=due,
                probability=rows["probability"].to_numpy(),
                tcv=rows["tcv"].to_numpy(),
                relative=_relative(rows["tcv"].to_numpy(), rows["currency"].to_numpy()),
                milestone=milestone,
                pipeline=rows["pipeline"].to_numpy(),
                owner=rows["owner"].to_numpy(),
                currency=rows["currency"].to_numpy(),
                pushes=pushes[deal],
            )
        )
    return _joined(parts)


def _rebuilt(deals: Deals, days: Sequence[int], first: int) -> Sightings:
    """Rebuild the open deals of past month ends of which there is no snapshot."""
    shown = {int(month_of(day + 1)) for day in days}
    parts: list[Sightings] = []
    for month in range(first + 1, int(month_of(days[-1] + 1))):
        if month in shown:
            continue
        day = int(month_start(month)) - 1
        deal = np.flatnonzero((deals.known <= day) & (deals.end > day))
        unknown = np.full(len(deal), np.nan)
        parts.append(
            Sightings(
                deal=deal,
                day=np.full(len(deal), day, dtype=np.int64),
                seen=np.zeros(len(deal), dtype=bool),
                age=_months(day - deals.known[deal].astype(np.float64)),
                at_milestone=unknown,
                since_update=unknown,
                since_contact=unknown,
                due=unknown,
                probability=unknown,
                tcv=deals.tcv[deal],
                relative=_relative(deals.tcv[deal], deals.currency[deal]),
                milestone=np.full(len(deal), -1, dtype=np.int64),
                pipeline=deals.pipeline[deal],
                owner=deals.owner[deal],
                currency=deals.currency[deal],
                pushes=np.zeros(len(deal)),
            )
        )
    return _joined(parts)


def _months(days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn days into months, none before zero."""
    return np.maximum(days, 0.0) / _DAYS_A_MONTH


def _relative(tcv: NDArray[np.float64], currency: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give log values relative to the median of the same currency, within e**-3 and e**3."""
    relative = np.zeros(len(tcv))
    usable = np.isfinite(tcv) & (tcv > 0)
    for code in np.unique(currency[usable]):
        mine = usable & (currency == code)
        logs = np.log(tcv[mine])
        relative[mine] = np.clip(logs - np.median(logs), -3.0, 3.0)
    return relative


def _last_of_month(days: Sequence[int], day: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which sightings stand on the last snapshot day of the month that follows them."""
    last = {int(month_of(one + 1)): one for one in days[:-1]}
    return np.isin(day, np.fromiter(last.values(), dtype=np.int64, count=len(last)))


def _thinned(past: Sightings) -> Sightings:
    """Keep every n-th sighting of each deal where there are very many, always the same ones."""
    every = -(-len(past) // _MOST_SIGHTINGS)
    if every <= 1:
        return past
    months = month_of(past.day + 1)
    return past.where((past.deal + months) % every == 0)


def _joined(parts: Sequence[Sightings]) -> Sightings:
    """Put lists of sightings one after the other, by day."""
    floats = {"age", "at_milestone", "since_update", "since_contact", "due", "probability"}
    floats |= {"tcv", "relative", "pushes"}
    arrays: dict[str, Any] = {}
    for name in Sightings.__dataclass_fields__:
        kind = np.bool_ if name == "seen" else np.float64 if name in floats else np.int64
        arrays[name] = np.concatenate([np.zeros(0, kind), *(getattr(p, name) for p in parts)])
    order = np.argsort(arrays["day"], kind="stable")
    return Sightings(**{name: array[order].astype(array.dtype) for name, array in arrays.items()})
