"""The sample account and an invented one, grown to as many deals as are wanted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from worlds import worlds

import capsule_analytics as ca


def account(count: int) -> dict[str, Any]:
    """Give the sample account's file so many opportunities, by repeating those without a flaw."""
    held: dict[str, Any] = json.loads(ca.sample.account_path().read_bytes())
    own = [
        record
        for record in held["opportunities"]
        if isinstance((record.get("value") or {}).get("amount"), int | float)
    ]
    held["opportunities"] = [own[n % len(own)] | {"id": n + 1} for n in range(count)]
    held["deleted"] = []
    return held


def pipeline(count: int, of: ca.Pipeline | None = None) -> ca.Pipeline:
    """Give a pipeline so many opportunities, by repeating its own, each copy a little dearer."""
    of = ca.load_sample() if of is None else of
    own = len(of.opportunities)
    copies = -(-count // own)
    frame = pd.concat([of.opportunities] * copies).iloc[:count]
    copy = np.arange(count) // own
    frame["tcv"] = (frame["tcv"] * (1 + copy / 1000)).round(2)
    frame.index = pd.Index(frame.index.to_numpy() + 10_000_000 * copy, name="id")
    return replace(of, opportunities=frame)


def snapshots(copies: int) -> list[ca.Pipeline]:
    """Show copies of an invented account of 1,777 opportunities at its thirty month ends."""
    world = next(world for world in worlds("choose") if world.temperament == "steady")
    seen = [world.snapshot(day) for day in world.months]
    return [pipeline(copies * len(one.opportunities), one) for one in seen]
