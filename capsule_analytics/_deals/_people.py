"""People over several days: one is an id, whatever they were called, and is shown by today's name.

User names are not permanent in Capsule (developer.capsulecrm.com/v2/models/user). One load shows
each owner by one name; between two loads it may have changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from capsule_analytics.schema import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd


def newest_names(frames: Iterable[pd.DataFrame]) -> dict[int, str]:
    """Return the name of each owner's id, of several the last.

    Parameters
    ----------
    frames
        Opportunities of one account, oldest first. Those without ids (API v1) tell nothing.

    Examples
    --------
    >>> import pandas as pd
    >>> before = pd.DataFrame({"owner_id": [7], "owner": ["ada"]})
    >>> newest_names([before, before.assign(owner="ada.king")])
    {7: 'ada.king'}
    """
    names: dict[int, str] = {}
    for frame in frames:
        if "owner_id" in frame.columns:
            known = frame[["owner_id", "owner"]].dropna().drop_duplicates()
            names |= dict(zip(known["owner_id"].astype(int), known["owner"], strict=True))
    return names


def with_newest_names(frame: pd.DataFrame, names: dict[int, str]) -> pd.DataFrame:
    """Return the deals with each owner under the name of `newest_names`, as text.

    Parameters
    ----------
    frame
        Deals with ``owner``; those without an ``owner_id`` keep the name that they have.
    names
        Of the same account.
    """
    owner = frame["owner"].astype(TEXT)
    if names and "owner_id" in frame.columns:
        today = frame["owner_id"].astype(object).map(names).astype(TEXT)
        owner = today.where(today.notna(), owner)
    return frame.assign(owner=owner)
