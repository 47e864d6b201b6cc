"""The sample account, which ships with the package: no network, no token."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pandas as pd

from capsule_analytics.api import api_of, definition_of
from capsule_analytics.load import assemble, counting_reasons, milestone_frame
from capsule_analytics.schema import as_day

if TYPE_CHECKING:
    from capsule_analytics.schema import Pipeline

__all__ = [
    "account_path",
    "load_sample",
    "sample_folder",
]

__dir__ = __all__.copy  # what completion offers


def sample_folder() -> Path:
    """Return the folder of the sample account's files.

    They ship inside the installed package, and stand in ``data/sample`` of a checkout.
    """
    installed = Path(__file__).with_name("_sample")
    return installed if installed.is_dir() else Path(__file__).parents[1] / "data" / "sample"


def account_path() -> Path:
    """Return the path of the sample account's file, which the sandbox serves."""
    return sample_folder() / "account.json"


def load_sample(as_of: date | str | None = None) -> Pipeline:
    """Load the sample account: a small consultancy's 30 months of deals, flaws included.

    Parameters
    ----------
    as_of
        The day from which to look; None means 2026-10-15, on which the account was read.

    Returns
    -------
    About 600 opportunities in four currencies, with tags and custom fields.

    Examples
    --------
    >>> pipeline = load_sample()
    >>> pipeline.as_of.isoformat(), sorted(pipeline.opportunities["status"].unique())
    ('2026-10-15', ['lost', 'open', 'won'])
    """
    return copied(_read(None if as_of is None else as_day(as_of)))


@lru_cache(maxsize=4)
def _read(as_of: date | None) -> Pipeline:
    """Read the account once: documentation, tests and notebooks ask for it again and again."""
    v2 = api_of("v2")
    held = _held()
    about = held["account"]
    day = date.fromisoformat(about["asOf"])
    page = orjson.dumps({"opportunities": held["opportunities"]})
    return assemble(
        [v2.parse_page(page, {}).columns],
        **sample_setting(),
        typed=v2.TYPED,
        loaded_at=pd.Timestamp(day, tz="UTC"),
        as_of=as_of or day,
        account=about["name"],
    )


def copied(kept: Pipeline) -> Pipeline:
    """Give a pipeline that is kept to someone who may change its frames.

    Parameters
    ----------
    kept
        One with custom fields, as the sample account has them.
    """
    deals = kept.opportunities.copy()
    deals["fields"] = pd.Series(map(copy, deals["fields"]), index=deals.index, dtype=object)
    return replace(
        kept, opportunities=deals, milestones=kept.milestones.copy(), issues=kept.issues.copy()
    )


@lru_cache(maxsize=1)
def _held() -> dict[str, Any]:
    """Read the account's file, whose parts are then read as answers of a server."""
    held: dict[str, Any] = orjson.loads(account_path().read_bytes())
    return held


def sample_setting() -> dict[str, Any]:
    """Return what the sample account is set up with, as `load.assemble` takes it.

    Its file has every milestone in one list, where a server has one for each pipeline.
    """
    v2 = api_of("v2")
    held = _held()
    archived = {line["id"] for line in held["pipelines"] if line.get("isDeleted")}
    milestones = [
        {**one, "archived": one["archived"] or one["pipeline_id"] in archived}
        for one in v2.parse_milestones(orjson.dumps({"milestones": held["milestones"]}), {})[0]
    ]
    place = [line["id"] for line in held["pipelines"]]
    milestones.sort(
        key=lambda one: (one["pipeline_id"] in archived, place.index(one["pipeline_id"]))
    )
    return {
        "milestones": milestone_frame(milestones, typed=v2.TYPED),
        "currencies": v2.parse_currencies(orjson.dumps({"currencies": held["currencies"]})),
        "lost_reasons": counting_reasons(held["lostReasons"]),
        "usernames": {user["id"]: user["username"] for user in held["users"]},
        "definitions": [definition_of(one) for one in held["fieldDefinitions"]],
    }
