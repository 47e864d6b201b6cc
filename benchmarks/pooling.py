"""Hold what small accounts borrow from their group to invented accounts whose truth is known.

A group is a franchise: accounts that sell the same way, each a little differently, with two to six
new deals a month, connected 4 to 12 months ago. The accounts are those of `worlds`, whose laws the
model does not know. At two month ends of each, everything is fitted on what was known: by the
account alone, and with what the others of its group told by then. Both are scored on the same four
periods as in `benchmarks/projection.py`.

The seeds are fixed: choose on the half ``choose``, report ``report``.

Run ``python benchmarks/pooling.py --half report``, or ``--help``.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from projection import HORIZONS, markdown, monthly, naive, periods, projected, scores, summary
from worlds import HALVES, World
from worlds.temperaments import HALVES as _HALVES
from worlds.temperaments import _ordinary, first_day

import capsule_analytics as ca

if TYPE_CHECKING:
    from datetime import date

    from worlds.account import Account

ACCOUNTS, GROUPS = 12, 4
WON = 0.25
BACK = (3, 0)
"""Month ends at which is looked, counted from the last one."""


def group(half: str, number: int) -> list[World]:
    """Draw the accounts of a group."""
    rng = np.random.default_rng((77, _HALVES.index(half), number))
    base = _ordinary(rng, f"group-{number + 1}", (9, _HALVES.index(half), number))
    found = []
    for one in range(ACCOUNTS):
        account = _one_of(rng, base, one)
        months = account.months[-int(rng.integers(8, 13)) :]
        connected = first_day(months[0].year * 12 + months[0].month - 1)
        account = replace(account, connected=connected, months=months)
        found.append(World(account.name, "group", half, months, account))
    return found


def _one_of(rng: np.random.Generator, base: Account, number: int) -> Account:
    """Let an account differ a little from what is usual in its group."""
    intake = rng.uniform(2, 6) / sum(kind.intake for kind in base.kinds)
    kinds = tuple(
        replace(
            kind,
            intake=kind.intake * intake,
            waits=tuple(wait * np.exp(rng.normal(0, 0.15)) for wait in kind.waits),
            advance=tuple(step + rng.normal(0, 0.2) for step in kind.advance),
            close=kind.close + rng.normal(0, 0.2),
            mean=kind.mean + rng.normal(0, 0.3),
        )
        for kind in base.kinds
    )
    return replace(base, name=f"{base.name}-{number + 1}", seed=(*base.seed, number), kinds=kinds)


def score_group(half: str, number: int, draws: int) -> list[dict[str, Any]]:
    """Forecast the accounts of a group, alone and with what the others told."""
    worlds = group(half, number)
    rows = []
    for back in BACK:
        day = worlds[0].months[-1 - back]
        seen = {
            world.name: [world.snapshot(m) for m in world.months if m <= day] for world in worlds
        }
        taught = [ca.projection.lesson(pipelines, day) for pipelines in seen.values()]
        pooled = ca.projection.pool(taught, day)
        for world in worlds:
            past = seen[world.name]
            models = {
                "projection": ca.projection.fit(past),
                "pooled": ca.projection.fit(past, prior=pooled.prior(world.name)),
            }
            rows += _scored(world, day, past[-1], models, draws)
    return rows


def _scored(
    world: World, day: date, newest: ca.Pipeline, models: dict[str, Any], draws: int
) -> list[dict[str, Any]]:
    (currency,) = world.account.currencies
    truth = [world.won(*horizon)[currency] for horizon in periods(day)]
    # In units of what an account brings in a usual month; of what came, poor ones would weigh most.
    scale = sum(
        kind.intake * WON * np.exp(kind.mean + kind.spread**2 / 2) for kind in world.account.kinds
    )
    forecasts = {
        (method, number): forecast
        for method, model in models.items()
        for (_, number), forecast in projected(model, day, (currency,)).items()
    }
    series = monthly(newest, currency, day.year * 12 + day.month)
    for number in range(len(HORIZONS)):
        forecasts["mean_of_three", number] = naive(series, "mean_of_three", number)
    if draws:
        from projection import LEVELS, Forecast  # noqa: PLC0415

        for (_, number), found in world.oracle(day, periods(day), draws).items():
            forecasts["oracle", number] = Forecast(float(found.mean()), np.quantile(found, LEVELS))
    return [
        {
            "half": world.half,
            "account": world.name,
            "origin": day,
            "horizon": HORIZONS[number],
            "method": method,
            **scores(truth[number] / scale, forecast, scale, f"{world.name}{day}{number}"),
        }
        for (method, number), forecast in forecasts.items()
    ]


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Compare CRPS pooled with alone, by horizon, with the error of the mean over accounts."""
    wide = rows.pivot_table(
        index=["horizon", "account", "origin"], columns="method", values="crps"
    ).reset_index()
    wide["gain"] = wide["projection"] - wide["pooled"]
    table = []
    for horizon, part in wide.groupby("horizon"):
        by_account = part.groupby("account")["gain"].mean()
        table.append(
            {
                "horizon": horizon,
                "alone": part["projection"].mean(),
                "pooled": part["pooled"].mean(),
                "gain": part["gain"].mean(),
                "error": by_account.std() / np.sqrt(len(by_account)),
                "better": float((by_account > 0).mean()),
            }
        )
    return pd.DataFrame(table)


def main() -> None:
    """Score a half and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--half", choices=HALVES, default="choose")
    parser.add_argument("--groups", type=int, default=GROUPS)
    parser.add_argument("--draws", type=int, default=300, help="replays of the oracle")
    options = parser.parse_args()
    rows, began = [], time.perf_counter()
    for number in range(options.groups):
        rows += score_group(options.half, number, options.draws)
        print(f"group {number + 1}, {time.perf_counter() - began:.0f} s", flush=True)
    frame = pd.DataFrame(rows)
    print(markdown(summary(frame, [])))
    print()
    print(gains(frame).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
