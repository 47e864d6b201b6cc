"""The sample account, which ships with the package: no network, no token."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pandas as pd

from capsule_analytics.api import api_of
from capsule_analytics.load import assemble, milestone_frame

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


def load_sample(as_of: date | None = None) -> Pipeline:
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
    v2 = api_of("v2")
    body = account_path().read_bytes()
    about = orjson.loads(body)["account"]
    day = date.fromisoformat(about["asOf"])
    milestones, _ = v2.parse_milestones(body, {})
    return assemble(
        [v2.parse_page(body, {}).columns],
        typed=v2.TYPED,
        milestones=milestone_frame(milestones, typed=v2.TYPED),
        currencies=v2.parse_currencies(body),
        loaded_at=pd.Timestamp(day, tz="UTC"),
        as_of=as_of or day,
        account=about["name"],
    )
