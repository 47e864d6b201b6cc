"""The deals as the page's script reads them: columns in JSON, text that recurs written once."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capsule_analytics import quality
from capsule_analytics._deals import Placing, chances, plain
from capsule_analytics._words import NO_CURRENCY, currency_name, round_cents

from ._page_tables import NONE, amount, links

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._figures import Figures

_CODED = ("party", "owner", "team", "pipeline", "milestone", "lost_reason", "status")
_EPOCH = pd.Timestamp("1970-01-01")


def deals_json(figures: Figures) -> str:
    r"""Write the deals for the script of the page.

    Returns
    -------
    JSON that may stand in a ``script`` element: no ``<`` in it. ``texts`` lists the texts of each
    coded column, to which its numbers point, -1 for a missing one; days count from 1970; amounts
    are in cents.
    """
    frame = figures.pipeline.opportunities
    placing = Placing.of(figures.pipeline.as_of, **(figures.options.placing() | {"by": ()}))
    chance = chances(frame, figures.options.probability)
    tcv = round_cents(frame["tcv"].to_numpy(dtype=np.float64, na_value=np.nan))
    bucket = _placed(frame, placing)
    quarters = Placing.of(
        figures.pipeline.as_of, **(figures.options.placing() | {"by": (), "period": "quarter"})
    )
    quarter = _placed(frame, quarters)
    late = quality.overdue(frame, figures.pipeline.as_of).to_numpy(dtype=bool)
    periods = placing.periods(np.unique(bucket[bucket != _LEFT_OUT]))
    texts: dict[str, list[str]] = {
        "period": ["undated" if pd.isna(one) else str(one) for one in periods]
    }
    codes = {number: code for code, number in enumerate(np.unique(bucket[bucket != _LEFT_OUT]))}
    columns: dict[str, list[Any]] = {
        "id": frame.index.tolist(),
        "name": frame["name"].fillna("").tolist(),
        "tcv": _numbers(tcv * 100),
        "weighted": _numbers(round_cents(tcv * chance) * 100),
        "probability": _numbers(chance * 100, 2),
        "close": _days(frame["expected_close"]),
        "closed": _days(frame["closed_at"]),
        "period": [codes.get(number, -1) for number in bucket.tolist()],
        "late": late.astype(np.int64).tolist(),
        "quarter": (quarter == _number_of(quarters, figures.quarter)).astype(np.int64).tolist(),
    }
    for name in _CODED:
        if name in frame.columns:
            columns[name], texts[name] = _coded(frame[name])
    columns["currency"], texts["currency"] = _coded(frame["currency"].map(currency_name))
    if "tags" in frame.columns:
        columns["tag"], texts["tag"] = _tagged(frame["tags"])
    if figures.projected_deals is not None:
        columns["likely"] = _numbers(
            _by_id(figures.projected_deals, "won_this_quarter", frame) * 100, 1
        )
    currencies = texts["currency"]
    headline = next(iter(figures.headlines), None)
    island = {
        "now": str(_now(placing)),
        "month": str(figures.month),
        "names": {"month": headline.month.name, "quarter": headline.quarter.name}
        if headline
        else {},
        "none": NONE,
        "link": links(figures),
        "symbols": {code: amount(0.0, code)[:-1] for code in currencies} | {NO_CURRENCY: ""},
        "texts": texts,
        "columns": columns,
    }
    return written(island)


def written(island: dict[str, Any]) -> str:
    """Write JSON that may stand in a ``script`` element."""
    text = json.dumps(island, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # In a script element only "</script" and "<!--" could end or change what is read.
    escaped = text.replace("<", "\\u003c")
    # Half of a surrogate pair cannot be written.
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", escaped)


_LEFT_OUT = -(2**62)


def _placed(frame: pd.DataFrame, placing: Placing) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Give each deal the number of its period, as the forecast does."""
    kept = frame.assign(row=np.arange(len(frame)))
    rows = placing.rows(plain(kept, placing, ["row"]), ["row"]).to_native()
    bucket = np.full(len(frame), _LEFT_OUT)
    days = rows["close"].to_numpy(dtype="datetime64[s]")
    bucket[rows["row"].to_numpy(dtype=np.int64)] = placing.buckets(days)
    return bucket


def _number_of(placing: Placing, period: pd.Period) -> int:
    return int(placing.buckets(np.array([period.start_time.to_datetime64()]))[0])


def _now(placing: Placing) -> pd.Period:
    """Name the running period."""
    return placing.periods(placing.buckets(np.array([np.datetime64(placing.as_of, "s")])))[0]


def _coded(column: pd.Series) -> tuple[list[int], list[str]]:
    codes, texts = pd.factorize(column.astype("object"))
    return codes.tolist(), [str(text) for text in texts]


def _tagged(column: pd.Series) -> tuple[list[list[int]], list[str]]:
    texts: dict[str, int] = {}
    rows: list[list[int]] = []
    for tags in column:
        named: Iterable[Any] = tags if isinstance(tags, list | tuple | np.ndarray) else ()
        rows.append([texts.setdefault(str(tag), len(texts)) for tag in named])
    return rows, list(texts)


def _numbers(values: np.ndarray[Any, np.dtype[np.float64]], digits: int = 0) -> list[Any]:
    rounded = np.round(values, digits)
    whole = np.where(np.isfinite(rounded), rounded, 0.0)
    return [
        None if not known else int(value) if value == int(value) else value
        for value, known in zip(whole.tolist(), np.isfinite(rounded).tolist(), strict=True)
    ]


def _days(column: pd.Series) -> list[Any]:
    days = (pd.to_datetime(column, utc=True).dt.tz_localize(None) - _EPOCH).dt.days
    return [None if pd.isna(day) else int(day) for day in days]


def _by_id(table: pd.DataFrame, name: str, frame: pd.DataFrame) -> Any:  # noqa: ANN401 - an array
    known = table.set_index("id") if "id" in table.columns else table
    return known[name].reindex(frame.index).to_numpy(dtype=np.float64, na_value=np.nan)
