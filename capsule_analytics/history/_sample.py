"""The sample account's snapshots."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import TYPE_CHECKING

import orjson
import pandas as pd

from capsule_analytics.api import api_of
from capsule_analytics.load import assemble
from capsule_analytics.sample import copied, sample_folder, sample_setting

if TYPE_CHECKING:
    from capsule_analytics.schema import Pipeline


def sample_history() -> list[Pipeline]:
    """Return the sample account as it stood on 19 days, oldest first.

    Returns
    -------
    The ends of the months from April 2025 to September 2026, each taken a second before
    midnight UTC, and the morning of 15 October 2026, which is `load_sample`.

    Examples
    --------
    >>> days = sample_history()
    >>> len(days), days[0].as_of.isoformat(), days[-1].as_of.isoformat()
    (19, '2025-04-30', '2026-10-15')
    """
    return [copied(kept) for kept in _read()]


@cache
def _read() -> tuple[Pipeline, ...]:
    """Read the days once: documentation, tests and notebooks ask for them again and again."""
    v2 = api_of("v2")
    body = (sample_folder() / "snapshots.json").read_bytes()
    history = orjson.loads(body)
    # Who was renamed since went by the old name then, so names are those that the records have.
    setting = {**sample_setting(), "usernames": {}}
    account = history["account"]
    known: dict[int, object] = {}
    pipelines = []
    for snapshot in history["snapshots"]:
        known |= {record["id"]: record for record in snapshot["changed"]}
        for key in snapshot["deleted"]:
            del known[key]
        page = orjson.dumps({"opportunities": list(known.values())})
        morning = pd.Timestamp(snapshot["day"], tz="UTC")
        evening = morning + pd.Timedelta(hours=23, minutes=59, seconds=59)
        pipelines.append(
            assemble(
                [v2.parse_page(page, {}).columns],
                typed=v2.TYPED,
                **setting,
                loaded_at=morning if snapshot["day"] == account["asOf"] else evening,
                as_of=date.fromisoformat(snapshot["day"]),
                account=account["name"],
            )
        )
    return tuple(pipelines)
