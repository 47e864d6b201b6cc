"""Hold the projection to invented accounts whose truth is known, beside naives and an oracle.

Three worlds of such accounts, made by different rules: ``worlds``, ``daybook`` and ``buyers``
(``--world``).
Rolling origin over month ends of each account: at each of them everything is fitted on what was
known, and four periods are forecast: the next calendar month, the 2nd, the 3rd, and the
three of them together (``quarter``). Methods:

``projection``
    `ca.projection.fit` on the snapshots of all month ends so far.
``single``
    The same from the newest snapshot alone, as of an account connected today.
``mean_of_three``
    The mean of the last three months, spread by the ratios by which it was wrong before. The naive
    that skill is measured against.
``last_month``, ``year_ago``
    The last month, and the same months a year ago, spread likewise.
``conversion``
    What is open now, times the share of earlier open lists that was won in such a period, spread
    by its ratios.
``weighted``
    TCV times stated probability of the deals that are expected to close in the period, overdue
    ones in the first month; its range if every probability were right and deals independent.
``oracle``
    Replays of the future from the true hidden state (`worlds.World.oracle`).

Every method gives its expected value and the quantiles of one grid, `LEVELS`, and everything is
scored from these alone:

- bias: sum of (expected less came) over the sum of what came; WAPE: sum of absolute errors over
  the same;
- holds: share of P10 ≤ came ≤ P90;
- pinball: mean of the pinball losses at P10, P50 and P90;
- CRPS: twice the mean of the pinball losses over the grid (39 levels, 0.025 to 0.975);
- PIT: the randomised place among the grid's quantiles, uniform if the ranges are right. Forecasts
  of one account are not independent, so uniformity is tested by Neyman's smooth test (four
  Legendre moments) with the covariance taken between accounts (``pit_p``, missing where there are
  too few accounts); the test of Kolmogorov and Smirnov as if all forecasts were independent stands
  beside it (``ks_p``), and is too strict;
- skill: (CRPS of the naive less CRPS) over (CRPS of the naive less CRPS of the oracle).

Amounts of an account and currency are divided by their own average month, so that all weigh alike.

With few origins (``--origins``) they lie evenly apart, and each account begins with another
month, so that no season weighs more than another.

Run ``python benchmarks/projection.py --half choose``, or ``--help``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
import zlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import buyers
import daybook
import numpy as np
import pandas as pd
import worlds
from scipy import stats

import capsule_analytics as ca

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

WORLDS = {"worlds": worlds, "daybook": daybook, "buyers": buyers}
HALVES = tuple(dict.fromkeys(half for world in WORLDS.values() for half in world.HALVES))
TEMPERAMENTS = tuple(
    dict.fromkeys(kind for world in WORLDS.values() for kind in world.TEMPERAMENTS)
)
LEVELS = np.linspace(0.025, 0.975, 39)
P10, P50, P90 = (int(np.argmin(abs(LEVELS - level))) for level in (0.1, 0.5, 0.9))
HORIZONS = ("month 1", "month 2", "month 3", "quarter")
NAIVES = ("mean_of_three", "last_month", "year_ago", "conversion", "weighted")
REFERENCE = "mean_of_three"
ORIGINS = 16
DRAWS = 500
FEWEST_RATIOS = 6
UNKNOWN_SPREAD = 0.7
"""Of the log ratio, assumed where too few months have passed to know it."""
MOST_RATIOS = 24


class Forecast(NamedTuple):
    """The expected value and the quantiles at `LEVELS`."""

    mean: float
    quantiles: NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """One account, its number in its half, and what to score it with."""

    world: worlds.World | daybook.World | buyers.World
    origins: int
    draws: int
    methods: tuple[str, ...]
    number: int = 0


def month_start(index: int) -> date:
    """Give the first day of a month, counted since year 0."""
    return date(index // 12, index % 12 + 1, 1)


def periods(day: date) -> list[tuple[date, date]]:
    """List the four periods after a month end, by first day and the day after the last."""
    first = day.year * 12 + day.month
    months = [(month_start(first + n), month_start(first + n + 1)) for n in range(3)]
    return [*months, (month_start(first), month_start(first + 3))]


# ------------------------------------------------------------------ the projection, by its door


def projected(model: Any, day: date, currencies: Sequence[str]) -> dict[tuple[str, int], Forecast]:  # noqa: ANN401
    """Ask a fitted model for the four periods: the one place that knows how it is asked."""
    table = model.by_month(months=3)
    table = table.assign(month=[_first_of(month) for month in table["month"]])
    found = {}
    for number, (start, end) in enumerate(periods(day)):
        within = table[(table["month"] >= start) & (table["month"] < end)]
        asked = model.quantiles(LEVELS, start=start, end=end) if _has(model, "quantiles") else None
        for currency in currencies:
            rows = within[within["currency"].astype(str) == currency]
            mean = float(rows["expected_value"].sum())
            if asked is not None:
                quantiles = _of_currency(asked, currency)
            elif _has(model, "distribution"):
                quantiles = np.asarray(model.distribution(start, end, currency).quantile(LEVELS))
            elif number < 3 and len(rows):
                quantiles = _between(*rows[["p10", "p50", "p90"]].iloc[0])
            elif number < 3:
                quantiles = np.zeros(LEVELS.size)
            else:
                continue
            found[currency, number] = Forecast(mean, quantiles)
    return found


def _has(model: Any, name: str) -> bool:  # noqa: ANN401
    return callable(getattr(model, name, None))


def _first_of(month: Any) -> date:  # noqa: ANN401
    stamp = month.to_timestamp() if isinstance(month, pd.Period) else pd.Timestamp(month)
    return date(stamp.year, stamp.month, 1)


def _of_currency(asked: Any, currency: str) -> NDArray[np.float64]:  # noqa: ANN401
    """Take one currency's quantiles: a mapping, or a frame with currencies down or across."""
    if isinstance(asked, pd.DataFrame):
        if "currency" in asked:
            asked = asked.set_index(asked["currency"].astype(str)).drop(columns="currency")
            asked = asked.select_dtypes("number")
            if {"level", "value"} <= set(asked.columns):
                return _known(asked.loc[[currency]].sort_values("level")["value"].to_numpy())
        if currency in asked.index:
            rows = asked.loc[[currency]]
            return _known(rows.to_numpy(dtype=float).ravel()[-LEVELS.size :])
        if currency not in asked.columns:
            return np.zeros(LEVELS.size)
    elif currency not in asked:
        return np.zeros(LEVELS.size)
    return _known(np.asarray(asked[currency], dtype=float))


def _known(quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    if quantiles.shape != LEVELS.shape or np.isnan(quantiles).any():
        raise ValueError(f"the model gave {quantiles} for {LEVELS.size} levels")
    return quantiles


def _between(p10: float, p50: float, p90: float) -> NDArray[np.float64]:
    """Fill in a grid from three quantiles, along two halves of a normal on a cube root's scale."""
    z = stats.norm.ppf(LEVELS)
    low, middle, high = np.cbrt([p10, p50, p90])
    slope = np.where(z < 0, middle - low, high - middle) / stats.norm.ppf(0.9)
    return np.maximum(middle + slope * z, 0) ** 3


# ------------------------------------------------------------------------------- the naives


def monthly(pipeline: ca.Pipeline, currency: str, until: int) -> NDArray[np.float64]:
    """Sum what was won by month, from the account's first full month to the one before `until`."""
    deals = pipeline.opportunities
    created = deals["created_at"].min()
    first = created.year * 12 + created.month - 1 + (created.day > 5)
    won = deals[(deals["status"] == "won") & (deals["currency"] == currency)]
    month = (won["closed_at"].dt.year * 12 + won["closed_at"].dt.month - 1).to_numpy(dtype=int)
    inside = (month >= first) & (month < until)
    count = max(until - first, 1)
    return np.bincount(month[inside] - first, won["tcv"].fillna(0)[inside], minlength=count)


def by_ratios(base: float, past: NDArray[np.float64], came: NDArray[np.float64]) -> Forecast:
    """Spread a base by the ratios of what came to what the same rule had said before."""
    usable = past > 0
    ratios = (came[usable] / past[usable])[-MOST_RATIOS:]
    if ratios.size < FEWEST_RATIOS:
        return Forecast(base, base * np.exp(UNKNOWN_SPREAD * stats.norm.ppf(LEVELS)))
    return Forecast(base, base * np.quantile(ratios, LEVELS))


def naive(series: NDArray[np.float64], rule: str, number: int) -> Forecast:
    """Forecast a period by a rule that needs the monthly sums alone.

    `series` ends with the month of the origin. The rule is applied to every earlier month end as
    well, as far as what came after it is known by now.
    """
    ahead, length = (number, 1) if number < 3 else (0, 3)
    total = np.concatenate([[0.0], np.cumsum(series)])

    def sums(first: NDArray[np.int64], months: int) -> NDArray[np.float64]:
        return total[first + months] - total[first]

    def said(ends: NDArray[np.int64]) -> NDArray[np.float64]:
        """Apply the rule at the ends of months, given by how many months are over."""
        if rule == "year_ago":
            return sums(ends + ahead - 12, length)
        window = 1 if rule == "last_month" else 3
        return length * sums(ends - window, window) / window

    now = np.array([series.size])
    needs = {"last_month": 1, "mean_of_three": 3, "year_ago": 12}[rule]
    if series.size < needs:  # a young account: the mean of what there is
        return by_ratios(length * float(series.mean()), np.empty(0), np.empty(0))
    ends = np.arange(needs, series.size - ahead - length + 1)
    return by_ratios(float(said(now)[0]), said(ends), sums(ends + ahead, length))


def conversion(series: NDArray[np.float64], opened: NDArray[np.float64], number: int) -> Forecast:
    """Multiply the open list by what earlier lists brought in such a period.

    `opened` holds the open TCV on the month ends so far, the last of which is the origin.
    """
    ahead, length = (number, 1) if number < 3 else (0, 3)
    total = np.concatenate([[0.0], np.cumsum(series)])
    ends = np.arange(series.size - opened.size + 1, series.size - ahead - length + 1)
    past = opened[: max(ends.size, 0)]
    came = total[ends + ahead + length] - total[ends + ahead]
    if not past.size or not past.sum():
        return naive(series, "mean_of_three", number)
    share = came.sum() / past.sum()
    return by_ratios(float(share * opened[-1]), share * past, came)


def weighted(pipeline: ca.Pipeline, currency: str, number: int, day: date) -> Forecast:
    """Multiply what people typed; deals are won or not, independently."""
    start, end = (pd.Timestamp(edge, tz="UTC") for edge in periods(day)[number])
    deals = pipeline.opportunities
    deals = deals[(deals["status"] == "open") & (deals["currency"] == currency)]
    close = deals["expected_close"].mask(deals["expected_close"] <= pd.Timestamp(day, tz="UTC"))
    # Overdue deals stand in the first month; those without a date in none.
    overdue = close.isna() & deals["expected_close"].notna()
    within = ((close >= start) & (close < end)) | (overdue & (number in {0, 3}))
    tcv = deals["tcv"][within].fillna(0).to_numpy()
    chance = deals["probability"][within].to_numpy()
    rng = np.random.default_rng(zlib.crc32(f"{pipeline.account} {day} {number}".encode()))
    draws = (rng.random((DRAWS, tcv.size)) < chance) @ tcv
    return Forecast(float(tcv @ chance), np.quantile(draws, LEVELS))


# ------------------------------------------------------------------------------ the scoring


def apart(months: Sequence[date], count: int, number: int) -> list[date]:
    """Take some months, evenly apart; accounts with other numbers begin with other months."""
    if count >= len(months):
        return list(months)
    step = len(months) / count
    first = number * 0.618 % 1 * step
    return [months[int(first + place * step)] for place in range(count)]


def score_account(task: Task) -> list[dict[str, Any]]:
    """Forecast an account at each origin by each method; one row a forecast."""
    world, months = task.world, task.world.months
    origins = months[1:] if len(months) < 12 else months[12:]
    origins = apart(origins, task.origins, task.number)
    currencies = world.account.currencies
    seen = {day: world.snapshot(day) for day in months}
    lists = {currency: _opened(list(seen.values()), currency) for currency in currencies}
    scale = dict.fromkeys(currencies, 0.0)
    for day in origins:
        for currency, amount in world.won(*periods(day)[0]).items():
            scale[currency] += amount / len(origins)
    rows = []
    for day in origins:
        past = [seen[other] for other in months if other <= day]
        truth = [world.won(*horizon) for horizon in periods(day)]
        forecasts = _of_models(task, day, past)
        for currency in currencies:
            opened = lists[currency][: len(past)]
            for key, forecast in _of_naives(past[-1], opened, currency, day).items():
                forecasts[key] = forecast
        for (method, currency, number), forecast in forecasts.items():
            if scale[currency] <= 0:
                continue
            came = truth[number][currency] / scale[currency]
            rows.append(
                {
                    "half": world.half,
                    "temperament": world.temperament,
                    "account": world.name,
                    "origin": day,
                    "currency": currency,
                    "horizon": HORIZONS[number],
                    "method": method,
                    **scores(came, forecast, scale[currency], f"{world.name}{day}{number}"),
                }
            )
    return rows


def _opened(pipelines: list[ca.Pipeline], currency: str) -> NDArray[np.float64]:
    """Sum what was open in each snapshot."""
    deals = [pipeline.opportunities for pipeline in pipelines]
    return np.array(
        [d.loc[(d["status"] == "open") & (d["currency"] == currency), "tcv"].sum() for d in deals]
    )


def _of_models(
    task: Task, day: date, past: list[ca.Pipeline]
) -> dict[tuple[str, str, int], Forecast]:
    """Forecast by the projection and by the oracle, as far as they are asked for."""
    found = {}
    for method, given in (("projection", past), ("single", past[-1:])):
        if method not in task.methods:
            continue
        try:
            asked = projected(ca.projection.fit(given), day, task.world.account.currencies)
        except Exception as error:
            error.add_note(f"{method} of {task.world.half}/{task.world.name} at {day}")
            raise
        found |= {(method, *key): forecast for key, forecast in asked.items()}
    if "oracle" in task.methods:
        for key, draws in task.world.oracle(day, periods(day), task.draws).items():
            found["oracle", *key] = Forecast(float(draws.mean()), np.quantile(draws, LEVELS))
    return found


def _of_naives(
    newest: ca.Pipeline, opened: NDArray[np.float64], currency: str, day: date
) -> dict[tuple[str, str, int], Forecast]:
    """Forecast a currency by what anyone could do by hand."""
    series = monthly(newest, currency, day.year * 12 + day.month)
    found = {}
    for number in range(len(HORIZONS)):
        for rule in ("mean_of_three", "last_month", "year_ago"):
            found[rule, currency, number] = naive(series, rule, number)
        found["conversion", currency, number] = conversion(series, opened, number)
        found["weighted", currency, number] = weighted(newest, currency, number, day)
    return found


def scores(came: float, forecast: Forecast, scale: float, label: str) -> dict[str, float]:
    """Score one forecast, in average months of its account."""
    mean, quantiles = forecast.mean / scale, np.sort(forecast.quantiles) / scale
    # Sums of the same deals in another order differ in their last bits.
    came = (
        min(quantiles, key=lambda q: abs(q - came)) if np.isclose(quantiles, came).any() else came
    )
    short = came - quantiles
    pinball = np.where(short >= 0, LEVELS * short, (LEVELS - 1) * short)
    below, upto = int((quantiles < came).sum()), int((quantiles <= came).sum())
    rng = np.random.default_rng(zlib.crc32(label.encode()))
    return {
        "came": came,
        "mean": mean,
        "p10": quantiles[P10],
        "p50": quantiles[P50],
        "p90": quantiles[P90],
        "error": mean - came,
        "held": float(quantiles[P10] <= came <= quantiles[P90]),
        "pinball": float(pinball[[P10, P50, P90]].mean()),
        "crps": float(2 * pinball.mean()),
        "pit": (below + (upto - below + 1) * rng.random()) / (LEVELS.size + 1),
    }


def pit_uniform(pit: NDArray[np.float64], account: NDArray[np.object_]) -> float:
    """Test that PIT values are uniform, taking accounts and not forecasts as independent.

    Neyman's smooth test: the first four normalised Legendre polynomials have mean 0 under
    uniformity. Their covariance is estimated between accounts, so that any dependence within one
    is allowed for, and Hotelling's T² gives the p-value.
    """
    x = 2 * pit - 1
    moments = np.column_stack(
        [
            np.sqrt(2 * degree + 1) * np.polynomial.legendre.Legendre.basis(degree)(x)
            for degree in range(1, 5)
        ]
    )
    sums = pd.DataFrame(moments).groupby(account).sum().to_numpy()
    groups, degrees = sums.shape
    if groups <= degrees + 1:
        return float("nan")
    total = sums.sum(axis=0)
    # Centred on 0, the mean under the hypothesis: steadier where accounts are few.
    spread = sums.T @ sums
    squared = float(total @ np.linalg.solve(spread, total))
    statistic = squared / (groups - squared) * (groups - degrees) / degrees
    return float(stats.f.sf(statistic, degrees, groups - degrees))


def summary(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Pool forecasts: a row for each group, horizon and method."""
    keys = [*by, "horizon", "method"]
    order = {name: n for n, name in enumerate(["projection", "single", *NAIVES, "oracle"])}
    table = []
    for key, part in rows.groupby(keys, observed=True, sort=False):
        came = part["came"].sum()
        table.append(
            {
                **dict(zip(keys, key, strict=True)),
                "forecasts": len(part),
                "bias": part["error"].sum() / came,
                "wape": part["error"].abs().sum() / came,
                "holds": part["held"].mean(),
                "pinball": part["pinball"].mean(),
                "crps": part["crps"].mean(),
                "pit_p": pit_uniform(part["pit"].to_numpy(), part["account"].to_numpy()),
                "ks_p": float(stats.kstest(part["pit"], "uniform").pvalue),
            }
        )
    found = pd.DataFrame(table)
    wide = found.pivot_table(index=[*by, "horizon"], columns="method", values="crps")
    gain = wide[REFERENCE] - wide.get("oracle", np.nan)
    at = pd.MultiIndex.from_frame(found[[*by, "horizon"]]) if by else found["horizon"]
    found["skill"] = (
        wide[REFERENCE].reindex(at).to_numpy() - found["crps"].to_numpy()
    ) / gain.reindex(at).to_numpy()
    return found.sort_values(
        [*by, "horizon", "method"],
        key=lambda c: c.map(order) if c.name == "method" else c.map(_places(c)),
    ).reset_index(drop=True)


def _places(column: pd.Series) -> dict[str, int]:
    """Order temperaments as they are listed, and all else by name."""
    listed = list(TEMPERAMENTS) if column.name == "temperament" else sorted(column.unique())
    return {name: n for n, name in enumerate(listed)}


def markdown(table: pd.DataFrame) -> str:
    """Write a table for people."""
    percent = {"bias": "{:+.0%}", "holds": "{:.0%}"}
    number = {"wape", "crps", "skill", "pinball", "pit_p", "ks_p"}
    lines = ["| " + " | ".join(table.columns) + " |"]
    lines.append("|" + "|".join("--:" if c in {*percent, *number} else "---" for c in table) + "|")
    for row in table.itertuples(index=False):
        cells = [
            percent[name].format(value)
            if name in percent
            else f"{value:.3f}"
            if name in number
            else str(value)
            for name, value in zip(table.columns, row, strict=True)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run(
    half: str,
    *,
    world: str = "worlds",
    temperaments: Sequence[str] = TEMPERAMENTS,
    methods: Sequence[str] = ("projection", "oracle"),
    origins: int = ORIGINS,
    draws: int = DRAWS,
    processes: int = 2,
    told: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Score every account of a half; one row a forecast."""
    tasks = [
        Task(account, origins, draws, tuple(methods), number)
        for number, account in enumerate(WORLDS[world].worlds(half))
        if account.temperament in temperaments
    ]
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for done, part in enumerate(pool.imap_unordered(score_account, tasks), start=1):
            rows += part
            seconds = time.perf_counter() - began
            told(f"{done} of {len(tasks)} accounts, {part[0]['account']}, {seconds:.0f} s")
    # In one order, whichever process was first.
    found = pd.DataFrame(rows)
    return found.sort_values(["account", "origin", "currency", "horizon"], kind="stable")


def main() -> None:
    """Score a half and write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--world", choices=tuple(WORLDS), default="worlds")
    parser.add_argument("--half", choices=HALVES, default="choose")
    parser.add_argument("--temperament", choices=TEMPERAMENTS, action="append")
    parser.add_argument("--origins", type=int, default=ORIGINS, help="month ends an account")
    parser.add_argument("--single", action="store_true", help="from single loads as well")
    parser.add_argument("--only-naives", action="store_true", help="without the projection")
    parser.add_argument("--draws", type=int, default=DRAWS, help="replays of the oracle")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for the tables and all forecasts")
    options = parser.parse_args()
    if options.half not in WORLDS[options.world].HALVES:
        parser.error(f"{options.world} has {', '.join(WORLDS[options.world].HALVES)}")
    methods = ["oracle"]
    if not options.only_naives:
        methods = ["projection", *(["single"] if options.single else []), "oracle"]
    rows = run(
        options.half,
        world=options.world,
        temperaments=options.temperament or TEMPERAMENTS,
        methods=methods,
        origins=options.origins,
        draws=options.draws,
        processes=options.processes,
    )
    pooled = summary(rows, [])
    parts = summary(rows, ["temperament"])
    text = (
        f"# `{options.world}`, half `{options.half}`, {options.origins} origins an account\n\n"
        "## Pooled\n\n"
        f"{markdown(pooled)}\n\n## By temperament\n\n{markdown(parts)}\n"
    )
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        name = f"projection-{options.world}-{options.half}"
        (options.out / f"{name}.md").write_text(text, encoding="utf-8")
        pooled.assign(temperament="pooled").pipe(lambda p: pd.concat([p, parts])).to_csv(
            options.out / f"{name}.csv", index=False
        )
        rows.to_csv(options.out / f"{name}-forecasts.csv", index=False)


if __name__ == "__main__":
    main()
