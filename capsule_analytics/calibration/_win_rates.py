"""Win rates of groups of deals, shrunk towards the account's so that few deals prove little."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np
import pandas as pd

from capsule_analytics._deals import Period, Placing, pandas_only
from capsule_analytics.errors import ArgumentError, missing_extra
from capsule_analytics.schema import TEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SMALL_SAMPLE = 5
"""With fewer ended deals than this, figures rest on the prior and are marked."""

_LEAST_STRENGTH, _GREATEST_STRENGTH = 2.0, 200.0
_COLUMNS = ("milestone", "owner", "team", "currency", "pipeline")
_PERIODS: tuple[str, ...] = get_args(Period)
_BY = (*_COLUMNS, "value_band", "age_band", *_PERIODS)


def win_rates(
    outcomes: pd.DataFrame,
    by: str | Sequence[str] = "milestone",
    *,
    conversion: bool = True,
    fiscal_year_start: int = 1,
    bands: int = 4,
    value_edges: Mapping[str, Sequence[float]] | None = None,
    age_edges: Sequence[float] = (30, 90, 180),
    level: float = 0.8,
) -> pd.DataFrame:
    """Give the share of ended deals that were won, by group, shrunk towards the account's share.

    The win rate is won / (won + lost). Deals lost for a reason that the account leaves out of its
    conversion rate (``includedForConversion`` of a lost reason,
    developer.capsulecrm.com/v2/operations/Lost_Reason) are not counted; ``rate_of_all`` counts
    them as lost.

    Every deal counts once in each group in which it was seen, however many snapshots show it
    there: ten sightings of one deal are one piece of evidence. The rate answers "of the deals
    that ever stood here, how many were won?"; the share of a *list* of open deals that will be
    won is lower where lost deals linger (see `fit`).

    The groups' true rates are taken to scatter around the account's rate ``m`` as a Beta
    distribution of mean ``m`` and strength ``s``, counted in deals. A group with ``k`` of ``n``
    deals won then has the rate ``(k + s m) / (n + s)``, and its interval holds the middle `level`
    of ``Beta(k + s m, n - k + s (1 - m))``. ``m`` is the account's ``(k + 1/2) / (n + 1)``; ``s``
    maximises the likelihood of the groups' counts (Beta-Binomial) between 2 and 200 deals, and is
    2 where there are fewer than two groups. See Gelman et al., *Bayesian Data Analysis*,
    section 5.3.

    Parameters
    ----------
    outcomes
        As `outcomes` returns them.
    by
        milestone, owner, team, currency, pipeline, value_band, age_band, or the month, quarter or
        year in which the deal closed; one of them or several.
    conversion
        False counts every lost deal, whatever the reason.
    fiscal_year_start
        First month of the fiscal year, 1 to 12, for quarters and years.
    bands
        How many value bands of about equal numbers of deals, within each currency.
    value_edges
        Edges of value bands by currency instead; a value equal to an edge belongs above it.
    age_edges
        Edges of age bands, in days, alike.
    level
        Probability of the interval, between 0 and 1.

    Returns
    -------
    One row a group, in order, what is missing last: ``key`` for one name, for a list a column
    each (periods as pandas periods); ``deals`` and ``won`` (how many count, and were won),
    ``left_out`` (how many more were lost for a reason that is left out), ``raw_rate`` (won /
    deals), ``rate_of_all`` (won / (deals + left out)), ``rate``, ``low``, ``high`` (all 0 to 1,
    the first two NaN without deals) and ``small_sample`` (fewer than 5 deals: mostly the prior).
    By milestone alone, milestones never seen have 0 deals and the prior as their rate. ``attrs``
    has ``prior_rate``, ``prior_deals`` (the strength), ``deals``, ``left_out``, ``level`` and
    ``by``.

    Raises
    ------
    ArgumentError
        If an option is not valid, or value edges lack a currency.
    MissingExtraError
        If scipy is not installed.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> snapshots = ca.history.sample_history()
    >>> ended = ca.calibration.outcomes(snapshots, ca.load_sample())
    >>> table = win_rates(ended, by=["pipeline", "milestone"])
    >>> table[["milestone", "deals", "won", "left_out", "rate"]].round(3).tail(2)
           milestone  deals  won  left_out   rate
    10   Negotiation     97   60         3  0.608
    11  Contract out     64   49         2  0.735
    >>> list(win_rates(ended, by=["owner", "quarter"]).columns[:4])
    ['owner', 'quarter', 'deals', 'won']
    """
    names = [by] if isinstance(by, str) else list(dict.fromkeys(by))
    wrong = [name for name in names if name not in _BY]
    if wrong or not names:
        what = repr(wrong[0]) if wrong else "nothing"
        raise ArgumentError(f"by must be one of {', '.join(_BY)}, or several, not {what}")
    check_level(level)
    pandas_only(outcomes)
    keys: dict[str, pd.Series] = {}
    for name in names:
        if name == "value_band":
            keys[name] = _value_bands(outcomes, bands, value_edges)
        elif name == "age_band":
            keys[name] = _age_bands(outcomes["age_days"], age_edges)
        elif name in _PERIODS:
            keys[name] = _closed_in(outcomes["closed_on"], name, fiscal_year_start)
        else:
            keys[name] = outcomes[name]
    counts, left_out = _counts(outcomes, keys, every=conversion)
    deals = int(left_out.size - left_out.sum())
    won = int(outcomes.drop_duplicates("opportunity_id")["won"].sum())
    table = _shrunk(counts, deals, won, level)
    if isinstance(by, str):
        label = table.pop(by)
        table.insert(0, "key", pd.array(label.astype(object), dtype=TEXT))
    table.attrs |= {
        "by": by if isinstance(by, str) else names,
        "deals": deals,
        "left_out": int(left_out.sum()),
    }
    return table


def win_rates_of(
    tally: pd.DataFrame, by: Sequence[str], *, fiscal_year_start: int = 1, level: float = 0.8
) -> pd.DataFrame:
    """Give the win rates of many accounts from their counts.

    Parameters
    ----------
    tally
        As `_outcomes.tally` makes it, added up.
    by
        Columns of it, or the month, quarter or year of the close.
    fiscal_year_start, level
        As for `win_rates`.

    Returns
    -------
    As `win_rates` returns it for a list of names, drawn to the rate of all accounts together.
    """
    keys = {
        name: _closed_in(tally["closed_on"], name, fiscal_year_start)
        if name in _PERIODS
        else tally[name].astype(TEXT)
        for name in by
    }
    number = tally["deals"]
    counts = pd.DataFrame(
        {
            **keys,
            "deals": number.where(tally["counts"], 0),
            "won": number.where(tally["won"], 0),
            "left_out": number.where(~tally["counts"], 0),
        }
    )
    counts = counts.groupby([*by], dropna=False).sum().reset_index()
    deals, won = int(counts["deals"].sum()), int(counts["won"].sum())
    return _shrunk(counts, deals, won, level)


def _shrunk(counts: pd.DataFrame, deals: int, won: int, level: float) -> pd.DataFrame:
    """Add the rates to the counts of groups, drawn to the rate of all deals."""
    n, k, out = (counts[name].to_numpy(dtype=np.float64) for name in ("deals", "won", "left_out"))
    prior = (won + 0.5) / (deals + 1)
    strength = _strength(k, n, prior)
    alpha, beta = k + strength * prior, n - k + strength * (1 - prior)
    special = scipy_special()
    table = counts.assign(
        raw_rate=np.divide(k, n, out=np.full(len(n), np.nan), where=n > 0),
        rate_of_all=np.divide(k, n + out, out=np.full(len(n), np.nan), where=n + out > 0),
        rate=alpha / (alpha + beta),
        low=special.betaincinv(alpha, beta, (1 - level) / 2),
        high=special.betaincinv(alpha, beta, (1 + level) / 2),
        small_sample=n < SMALL_SAMPLE,
    )
    table.attrs = {"prior_rate": prior, "prior_deals": strength, "level": level}
    return table


def _counts(
    outcomes: pd.DataFrame, keys: dict[str, pd.Series], *, every: bool
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Count the deals of each group; and tell of each deal whether it is left out.

    Groups are counted by the number of their label, so that what is missing has one, too.
    """
    left_out = np.zeros(len(outcomes), dtype=bool)
    if every and "counts_for_conversion" in outcomes.columns:
        left_out = ~outcomes["counts_for_conversion"].to_numpy(dtype=bool)
    labels: dict[str, pd.Index] = {}
    seen = outcomes[["opportunity_id", "won"]].assign(left_out=left_out)
    for name, values in keys.items():
        held = values.astype("category").cat
        labels[name] = held.categories
        codes = held.codes.to_numpy(dtype=np.int64)
        seen[name] = np.where(codes < 0, len(held.categories), codes)
    once = seen.drop_duplicates(["opportunity_id", *keys])
    counts = once.groupby(list(keys))[["won", "left_out"]].agg(["size", "sum"])
    table = pd.DataFrame(
        {
            "deals": counts["won", "size"] - counts["left_out", "sum"],
            "won": counts["won", "sum"],
            "left_out": counts["left_out", "sum"],
        }
    ).astype("int64")
    if list(keys) == ["milestone"]:
        never = np.setdiff1d(np.arange(len(labels["milestone"])), table.index)
        table = table.reindex(np.union1d(never, table.index).astype(np.int64), fill_value=0)
        table.index.name = "milestone"
    table = table.reset_index()
    for name, known in labels.items():
        table[name] = _labelled(table[name].to_numpy(), known)
    deals = seen.drop_duplicates("opportunity_id")["left_out"].to_numpy(dtype=bool)
    return table, deals


def _labelled(codes: NDArray[np.int64], labels: pd.Index) -> Any:  # noqa: ANN401 - an array of any kind
    """Give the labels of numbers, missing for the one after the last."""
    at = np.where(codes < len(labels), codes, -1)
    if isinstance(labels, pd.PeriodIndex):
        return labels.take(at, fill_value=pd.NaT, allow_fill=True)
    return pd.array([labels[one] if one >= 0 else pd.NA for one in at], dtype=TEXT)


def _closed_in(days: pd.Series, period: str, fiscal_year_start: int) -> pd.Series:
    """Give the period in which each deal closed."""
    placing = Placing.of(
        date.min, period=cast("Period", period), fiscal_year_start=fiscal_year_start
    )
    numbers = placing.buckets(days.dt.tz_localize(None).to_numpy())
    return pd.Series(placing.periods(numbers), index=days.index)


def check_level(level: float) -> None:
    """Refuse the probability of an interval that is none."""
    if not 0 < level < 1:
        raise ArgumentError(f"level must lie between 0 and 1, not {level}")


def scipy_special() -> Any:  # noqa: ANN401 - a module without types
    """Import scipy.special, which only calibration needs."""
    try:
        from scipy import special  # noqa: PLC0415
    except ImportError as error:
        raise missing_extra("Calibration", "calibration") from error
    return special


def _strength(k: NDArray[np.float64], n: NDArray[np.float64], mean: float) -> float:
    """Find how many deals the account's rate is worth: the most likely Beta-Binomial."""
    if (n > 0).sum() <= 1:
        return _LEAST_STRENGTH
    betaln = scipy_special().betaln
    # The likelihood is smooth in the logarithm, and a prior is no finer than a fiftieth.
    strengths = np.geomspace(_LEAST_STRENGTH, _GREATEST_STRENGTH, 233)
    a, b = strengths[:, None] * mean, strengths[:, None] * (1 - mean)
    likelihood = (betaln(a + k, b + n - k) - betaln(a, b)).sum(axis=1)
    return float(strengths[likelihood.argmax()])


def _age_bands(age: pd.Series, edges: Sequence[float]) -> pd.Series:
    return _banded(age, _ascending(edges), "", " days")


def _value_bands(
    outcomes: pd.DataFrame, bands: int, edges: Mapping[str, Sequence[float]] | None
) -> pd.Series:
    if bands < 1:
        raise ArgumentError(f"bands must be at least 1, not {bands}")
    parts: list[pd.Series] = []
    for currency, rows in outcomes.groupby("currency"):
        if edges is None:
            values = rows.drop_duplicates("opportunity_id")["tcv"]
            inner = values.quantile([number / bands for number in range(1, bands)])
            limits = [float(f"{edge:.2g}") for edge in inner.dropna()]
        elif currency in edges:
            limits = list(edges[currency])
        else:
            raise ArgumentError(f"value_edges lack the currency {currency}")
        parts.append(_banded(rows["tcv"], _ascending(limits), f"{currency} ", ""))
    if not parts:
        return pd.Series(pd.NA, index=outcomes.index, dtype=TEXT)
    labels = [label for part in parts for label in part.cat.categories]
    order = pd.CategoricalDtype(pd.Index(labels, dtype=object), ordered=True)
    return pd.concat([part.astype(order) for part in parts]).reindex(outcomes.index)


def _ascending(edges: Sequence[float]) -> list[float]:
    if any(not np.isfinite(edge) for edge in edges):
        raise ArgumentError(f"band edges must be finite numbers, not {list(edges)}")
    return sorted(set(edges))


def _banded(values: pd.Series, edges: list[float], before: str, after: str) -> pd.Series:
    """Label each value with its band; missing stays missing."""
    texts = [f"{edge:,g}" if edge % 1 else f"{edge:,.0f}" for edge in edges]
    labels = (
        [
            f"{before}under {texts[0]}{after}",
            *(f"{before}{a} to {b}{after}" for a, b in pairwise(texts)),
            f"{before}{texts[-1]}{after} and over",
        ]
        if edges
        else [f"{before}all"]
    )
    codes = np.where(values.isna(), -1, np.searchsorted(edges, values, side="right"))
    bands = pd.Categorical.from_codes(codes, pd.Index(labels, dtype=object), ordered=True)
    return pd.Series(bands, index=values.index)
