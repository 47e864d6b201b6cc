"""How expected close dates slip, deal by deal and owner by owner, and which deals lie still."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd

from capsule_analytics._deals import owner_names, owners_under
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capsule_analytics.schema import Pipeline

_PERIODS = {"month": "M", "quarter": "Q", "year": "Y"}


def slippage(pipelines: Iterable[Pipeline]) -> pd.DataFrame:
    """Count how often and how far each deal's expected close was pushed out.

    A push is a later expected close than at the snapshot before, the deal being open at both;
    snapshots at which it was not open or had no date are passed over. Dates that came nearer are
    not subtracted: a push and a pull still missed a date once. Moves between two snapshots are
    seen as one.

    Parameters
    ----------
    pipelines
        One account's snapshots, oldest first, such as `sample_history` or ``Store.pipelines``
        gives.

    Returns
    -------
    One row a deal that was open at any snapshot, the most often pushed first:
    ``opportunity_id``, ``name`` and ``owner`` (as last seen open; a user who was renamed since
    goes by the newest name), ``pushes`` (how many) and ``days`` (how many days by all of them).

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> slips = ca.history.slippage(ca.history.sample_history())
    >>> list(slips.columns)
    ['opportunity_id', 'name', 'owner', 'pushes', 'days']
    """
    seen, names = _open_deals(pipelines)
    seen["owner"] = owners_under(seen, names)
    moves = _moves(seen)
    pushed = moves[moves["days"] > 0].groupby("opportunity_id")["days"].agg(["size", "sum"])
    table = seen.drop_duplicates("opportunity_id", keep="last").set_index("opportunity_id")
    table = table[["name", "owner"]].join(pushed.set_axis(["pushes", "days"], axis="columns"))
    table = table.fillna({"pushes": 0, "days": 0}).astype({"pushes": "int64", "days": "int64"})
    return table.reset_index().sort_values(
        ["pushes", "days", "opportunity_id"], ascending=[False, False, True], ignore_index=True
    )


def slippage_by_owner(slips: pd.DataFrame) -> pd.DataFrame:
    """Sum up by owner what `slippage` found.

    Parameters
    ----------
    slips
        Deals with ``owner``, ``pushes`` and ``days``.

    Returns
    -------
    One row an owner, a missing one last: ``owner``, ``deals``, ``pushed`` (deals pushed at least
    once) and ``mean_days`` (days pushed a deal, over all of the owner's deals, so that it can be
    added to the date of any).

    Examples
    --------
    >>> slips = pd.DataFrame(
    ...     {"owner": ["ann", "ann", "bo"], "pushes": [2, 0, 0], "days": [60, 0, 0]}
    ... )
    >>> slippage_by_owner(slips).to_dict("records")
    [{'owner': 'ann', 'deals': 2, 'pushed': 1, 'mean_days': 30.0},
     {'owner': 'bo', 'deals': 1, 'pushed': 0, 'mean_days': 0.0}]
    """
    groups = slips.assign(pushed=slips["pushes"] > 0).groupby("owner", dropna=False)
    table = groups.agg(
        deals=("days", "size"), pushed=("pushed", "sum"), mean_days=("days", "mean")
    ).reset_index()
    return table.astype({"owner": TEXT, "mean_days": "float64"})


def stale(pipeline: Pipeline, *, days: int = 30) -> pd.DataFrame:
    """List the open deals that nobody has changed for a while.

    Any change counts, of whatever field. That a deal stands too long at its milestone, or that
    nobody speaks to the customer, is what `quality.stale` and `quality.neglected` tell.

    Parameters
    ----------
    pipeline
        The account; days are counted up to its ``as_of``.
    days
        How many days without a change make a deal stale.

    Returns
    -------
    One row a deal, the longest untouched first: ``opportunity_id``, ``name``, ``owner``,
    ``milestone``, ``currency``, ``tcv``, ``updated_at`` (UTC) and ``days`` (whole days since its
    date). Deals without ``updated_at`` are left out, because nothing is known of them.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> forgotten = stale(ca.load_sample(), days=60)
    >>> bool((forgotten["days"] >= 60).all())
    True
    """
    columns = ["name", "owner", "milestone", "currency", "tcv", "updated_at"]
    frame = pipeline.opportunities.loc[pipeline.opportunities["status"] == "open", columns]
    frame = frame[frame["updated_at"].notna()]
    age = (pd.Timestamp(pipeline.as_of, tz="UTC") - frame["updated_at"].dt.floor("D")).dt.days
    table = _named(frame.assign(days=age.astype("int64")))[age.to_numpy() >= days]
    return table.sort_values(["days", "opportunity_id"], ascending=[False, True], ignore_index=True)


def pushed_out(
    pipelines: Iterable[Pipeline],
    *,
    period: Literal["month", "quarter", "year"] = "quarter",
    times: int = 3,
) -> pd.DataFrame:
    """List the deals that have been pushed out of one period after another.

    Parameters
    ----------
    pipelines
        One account's snapshots, oldest first.
    period
        What counts as a period, of the calendar year.
    times
        Out of how many different ones a deal must have been pushed.

    Returns
    -------
    One row a deal still open at the newest snapshot, the most periods first:
    ``opportunity_id``, ``name``, ``owner``, ``milestone``, ``currency``, ``tcv``, ``periods``
    (how many it was expected in and pushed out of), ``first_expected`` and ``expected_close``.

    Raises
    ------
    ArgumentError
        If `period` is no period.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> late = pushed_out(ca.history.sample_history(), times=3)
    >>> bool((late["periods"] >= 3).all())
    True
    """
    if period not in _PERIODS:
        raise ArgumentError(f"period {period!r} is none of {', '.join(_PERIODS)}")
    snapshots = list(pipelines)
    seen, _ = _open_deals(snapshots)
    moves = _moves(seen)
    before, after = (
        moves[name].dt.tz_convert(None).dt.to_period(_PERIODS[period])
        for name in ("before", "expected_close")
    )
    left = moves.assign(period=before)[after > before]
    periods = left.groupby("opportunity_id")["period"].nunique().rename("periods")
    dated = seen[seen["expected_close"].notna()].groupby("opportunity_id")["expected_close"]
    newest = _named(_still_open(snapshots[-1])).set_index("opportunity_id")
    table = (
        newest[["name", "owner", "milestone", "currency", "tcv"]]
        .join(periods[periods >= times], how="inner")
        .join(dated.first().rename("first_expected"))
        .join(newest["expected_close"])
    )
    return table.reset_index().sort_values(
        ["periods", "opportunity_id"], ascending=[False, True], ignore_index=True
    )


def _still_open(pipeline: Pipeline) -> pd.DataFrame:
    return pipeline.opportunities[pipeline.opportunities["status"] == "open"]


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Make the index a column, and text of the categories, which differ between snapshots."""
    categories = frame.select_dtypes("category").columns
    return frame.astype(dict.fromkeys(categories, TEXT)).reset_index(names="opportunity_id")


def _open_deals(pipelines: Iterable[Pipeline]) -> tuple[pd.DataFrame, dict[int, str]]:
    """Return the open deals of all snapshots, by deal and then by time, and the owners' names."""
    parts = []
    names: dict[int, str] = {}
    last: Pipeline | None = None
    for pipeline in pipelines:
        if last is not None and pipeline.account != last.account:
            raise ArgumentError(
                f"one snapshot is of account {last.account!r}, another of {pipeline.account!r}"
            )
        if last is not None and pipeline.loaded_at < last.loaded_at:
            raise ArgumentError("the snapshots do not come oldest first")
        columns = ["name", "owner", "owner_id", "expected_close"]
        parts.append(_named(_still_open(pipeline).reindex(columns=columns)))
        names = owner_names(pipeline.opportunities, names)
        last = pipeline
    if not parts:
        raise ArgumentError("slippage is seen between snapshots, and there are none")
    seen = pd.concat(parts, ignore_index=True)
    return seen.sort_values("opportunity_id", kind="stable", ignore_index=True), names


def _moves(seen: pd.DataFrame) -> pd.DataFrame:
    """Pair each expected close with the deal's one ``before`` it; ``days`` apart, later is more."""
    dated = seen[seen["expected_close"].notna()]
    before = dated.groupby("opportunity_id")["expected_close"].shift()
    moves = dated.assign(before=before)[before.notna()]
    return moves.assign(days=(moves["expected_close"] - moves["before"]).dt.days)
