"""Draws of what accounts are like, by temperament.

Every number comes from a range in which B2B accounts lie, drawn anew for each account; a
temperament moves some of the ranges. Nothing here was fitted to a model.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from .account import Account, Climate, Kind, Owner, Pipe

if TYPE_CHECKING:
    from collections.abc import Sequence

HALVES = ("choose", "report", "early", "fresh")
"""Groups of accounts: to choose on, to report, and two scored once each, after a last change.

``early`` was that of an earlier model; no group says more once it has been looked at.
"""
TEMPERAMENTS = (
    "steady",
    "lumpy",
    "seasonal",
    "growing",
    "freeze",
    "careless",
    "whale",
    "young",
    "renamed",
    "currencies",
)
ACCOUNTS = {name: 12 if name == "young" else 3 for name in TEMPERAMENTS}
"""How many accounts a half has of each; of the young ones more, as they have few month ends."""

MONTHS = 30
AHEAD = 4
"""Months simulated beyond the last month end, so that what came is known."""

NAMES = ("adeyemi", "berg", "castro", "dubois", "evans", "fischer", "gupta", "horvat", "ito")
LADDERS = (
    ("Lead", "Qualified", "Demo", "Proposal", "Negotiation", "Contract"),
    ("Enquiry", "Meeting", "Scoping", "Offer", "Terms", "Signature"),
    ("New", "Contacted", "Needs known", "Quote sent", "Shortlisted", "Verbal yes"),
    ("Prospect", "Discovery", "Solution", "Pricing", "Procurement", "Paperwork"),
)
PIPELINES = ("New business", "Existing customers", "Partners")


def month_end(month: int) -> date:
    """Give the last day of a month, counted since year 0."""
    return date((month + 1) // 12, (month + 1) % 12 + 1, 1) - timedelta(days=1)


def first_day(month: int) -> int:
    """Give the ordinal of a month's first day."""
    return date(month // 12, month % 12 + 1, 1).toordinal()


def draw(temperament: str, half: str, number: int) -> Account:
    """Draw an account; the same arguments always give the same one."""
    seed = (HALVES.index(half), TEMPERAMENTS.index(temperament), number)
    rng = np.random.default_rng((20_261, *seed))
    account = _ordinary(rng, f"{temperament}-{number + 1}", seed)
    change = {
        "steady": _steady,
        "lumpy": _lumpy,
        "seasonal": _seasonal,
        "growing": _growing,
        "freeze": _freeze,
        "careless": _careless,
        "whale": _whale,
        "young": _young,
        "renamed": _renamed,
        "currencies": _currencies,
    }[temperament]
    return change(rng, account, number)


def _log_odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def _kind(
    rng: np.random.Generator,
    name: str,
    pipeline: int,
    *,
    intake: float,
    stages: int,
    days: float,
    win_rate: float,
    mean: float,
    spread: float,
) -> Kind:
    """Make a kind of deal from figures that people know: cycle in working days, win rate."""
    parts = rng.dirichlet(np.full(stages, 4.0)) if stages else np.empty(0)
    # Later steps succeed more often; the constant makes up for what waiting costs on average.
    step = win_rate ** (1 / (stages + 1))
    slope = np.linspace(-0.35, 0.35, stages + 1) if stages else np.zeros(1)
    steps = [_log_odds(step) + 0.3 + float(s) + rng.normal(0, 0.12) for s in slope]
    return Kind(
        name=name,
        intake=intake,
        gap=0.0,
        begins=0,
        ramp=0,
        pipeline=pipeline,
        waits=tuple(float(d) for d in parts * days),
        shape=rng.uniform(1.5, 2.3),
        advance=tuple(steps[:-1]),
        close=steps[-1],
        promise=rng.uniform(6, 20) if stages else rng.uniform(2, 6),
        slip=rng.uniform(3, 8) if stages else rng.uniform(1, 4),
        mean=mean,
        spread=spread,
        tail=rng.uniform(0.01, 0.04),
        tail_factor=rng.uniform(3, 5),
        recurring=rng.choice([0.0, 0.0, 0.25, 0.5]),
    )


def _season(rng: np.random.Generator, spread: float) -> tuple[float, ...]:
    """Draw twelve factors around 1, with the summer and the year's turn a little slower."""
    usual = np.array([0.0, 0.02, 0.05, 0.0, 0.0, 0.05, -0.08, -0.15, 0.05, 0.03, 0.06, -0.03])
    factors = np.exp(usual + spread * rng.standard_normal(12))
    return tuple(float(f) for f in factors / factors.mean())


def _climate(rng: np.random.Generator) -> Climate:
    month_pull, quarter_pull = rng.uniform(0.4, 1.4), rng.uniform(0.2, 0.8)
    return Climate(
        business=_season(rng, 0.06),
        arrivals=_season(rng, 0.08),
        month_pull=month_pull,
        quarter_pull=quarter_pull,
        calm=1 / (1 + 4 / 21 * (month_pull + quarter_pull / 3)),
        memory=rng.uniform(0.4, 0.75),
        mood=rng.uniform(0.12, 0.25),
        demand=rng.uniform(0.1, 0.22),
        jumps=0.03,
        jump_mean=0.0,
        jump_spread=0.3,
        freezes=0.0,
        thaws=0.3,
        frozen_work=0.5,
        frozen_signing=0.1,
        frozen_demand=0.55,
        growth=rng.normal(0.03, 0.06),
    )


def _pipes(
    rng: np.random.Generator, ladders: Sequence[tuple[str, ...]], lengths: Sequence[int]
) -> list[Pipe]:
    pipes = []
    for number, (ladder, length) in enumerate(zip(ladders, lengths, strict=True)):
        names = (*ladder[: length - 1], ladder[-1])
        stated = np.round(np.linspace(0.1, rng.uniform(0.7, 0.9), length), 1)
        pipes.append(
            Pipe(
                PIPELINES[number],
                number + 1,
                tuple(
                    (100 + 10 * number + step, name, float(p))
                    for step, (name, p) in enumerate(zip(names, stated, strict=True))
                ),
                tuple(range(length)),
            )
        )
    return pipes


def _ordinary(rng: np.random.Generator, name: str, seed: tuple[int, ...]) -> Account:
    """Draw an account that nothing in particular is the matter with."""
    total = float(np.exp(rng.uniform(np.log(24), np.log(48))))
    pipelines = int(rng.integers(1, 4))
    mean, spread = np.log(rng.uniform(4_000, 30_000)), rng.uniform(0.7, 1.05)
    shares = np.array([1.0, rng.uniform(0.3, 0.6), rng.uniform(0.1, 0.3)])[:pipelines]
    shares /= shares.sum()
    kinds, lengths = [], []
    for number in range(pipelines):
        stages = int(rng.integers(2, 6))
        lengths.append(stages + 1)
        existing = number == 1
        kinds.append(
            _kind(
                rng,
                PIPELINES[number],
                number,
                intake=total * float(shares[number]),
                stages=stages,
                days=rng.uniform(8, 25) if existing else rng.uniform(18, 55),
                win_rate=rng.uniform(0.35, 0.5) if existing else rng.uniform(0.18, 0.32),
                mean=mean + rng.normal(-0.2 if existing else 0, 0.25),
                spread=spread,
            )
        )
    if rng.random() < 0.75:  # small orders that are typed in when they are nearly won
        kinds.append(
            _kind(
                rng,
                "Orders",
                int(rng.integers(pipelines)),
                intake=rng.uniform(1, 5),
                stages=0,
                days=0,
                win_rate=rng.uniform(0.7, 0.9),
                mean=mean - rng.uniform(0.5, 1.2),
                spread=rng.uniform(0.5, 0.8),
            )
        )
    people = int(rng.integers(2, 8))
    owners = tuple(
        Owner(
            NAMES[n],
            float(share),
            rng.normal(0, 0.2),
            float(np.exp(rng.normal(0, 0.15))),
            rng.uniform(0.6, 1.05),
            rng.uniform(0.45, 0.95),
        )
        for n, share in enumerate(rng.dirichlet(np.full(people, 3.0)))
    )
    ladders = [LADDERS[n] for n in rng.permutation(len(LADDERS))[:pipelines]]
    pipes = tuple(_pipes(rng, ladders, lengths))
    last = 2025 * 12 + int(rng.integers(0, 18))
    anchor = last - MONTHS + 1
    opens = first_day(anchor - 12 * int(rng.integers(3, 5)))
    return Account(
        name=name,
        seed=seed,
        climate=_climate(rng),
        kinds=tuple(kinds),
        owners=owners,
        pipes=(pipes, pipes),
        anchor=anchor,
        opens=opens,
        connected=opens,
        months=tuple(month_end(month) for month in range(anchor, last + 1)),
        renamed=10**7,
        keeps_ids=True,
        silent=rng.uniform(0.2, 0.45),
        forgotten=rng.uniform(30, 90),
        cleanups=_cleanups(rng, anchor, 1) if rng.random() < 0.5 else (),
        paused=rng.uniform(0.01, 0.05),
        deleted=rng.uniform(0.02, 0.08),
        doubled=rng.uniform(0.0, 0.03),
        undated=rng.uniform(0.0, 0.08),
        unvalued=rng.uniform(0.0, 0.05),
        overrides=rng.uniform(0.1, 0.5),
        currencies=(str(rng.choice(["GBP", "EUR", "USD"])),),
        shares=(1.0,),
        rates=(1.0,),
    )


def _cleanups(rng: np.random.Generator, anchor: int, a_year: int) -> tuple[int, ...]:
    """Draw days on which the list is tidied, so many times a year."""
    gap = 12 // a_year
    start = anchor - 48 + int(rng.integers(gap))
    months = range(start, anchor + MONTHS + AHEAD, gap)
    return tuple(first_day(m + int(rng.integers(-1, 2))) + int(rng.integers(3, 27)) for m in months)


def _steady(rng: np.random.Generator, account: Account, number: int) -> Account:
    """Let little happen; one of them sells a share in a second currency."""
    climate = replace(
        account.climate,
        mood=rng.uniform(0.06, 0.12),
        demand=rng.uniform(0.05, 0.1),
        jumps=0.0,
        growth=rng.normal(0, 0.03),
    )
    account = replace(account, climate=climate)
    if number == 2:
        share = rng.uniform(0.2, 0.3)
        account = replace(
            account, currencies=("EUR", "CHF"), shares=(1 - share, share), rates=(1.0, 0.95)
        )
    return account


def _lumpy(rng: np.random.Generator, account: Account, number: int) -> Account:
    """Sell few deals, large and uneven, over a long cycle."""
    total = sum(kind.intake for kind in account.kinds)
    intake = rng.uniform(13, 20)
    kinds = tuple(
        replace(
            kind,
            intake=kind.intake * intake / total,
            waits=tuple(w * rng.uniform(1.4, 1.9) for w in kind.waits),
            mean=kind.mean + 1.2,
            spread=rng.uniform(1.1, 1.4),
            tail=0.04,
        )
        for kind in account.kinds
    )
    del number
    return replace(account, kinds=kinds)


def _seasonal(rng: np.random.Generator, account: Account, number: int) -> Account:
    """Give the year a shape, and quarters an end."""
    month_pull = rng.uniform(0.5, 1.2)
    quarter_pull = rng.uniform(2.0, 4.5)
    # A holiday trade peaks once; a budget trade peaks when budgets are spent.
    phase = rng.uniform(0, 2 * np.pi)
    wave = np.exp(rng.uniform(0.25, 0.5) * np.cos(2 * np.pi * np.arange(12) / 12 - phase))
    business = np.array(_season(rng, 0.15)) * (wave if number != 1 else np.ones(12))
    arrivals = np.array(_season(rng, 0.15)) * np.roll(wave, -2)
    climate = replace(
        account.climate,
        business=tuple(float(f) for f in business / business.mean()),
        arrivals=tuple(float(f) for f in arrivals / arrivals.mean()),
        month_pull=month_pull,
        quarter_pull=quarter_pull,
        calm=1 / (1 + 4 / 21 * (month_pull + quarter_pull / 3)),
    )
    return replace(account, climate=climate)


def _growing(rng: np.random.Generator, account: Account, number: int) -> Account:
    """Grow by the year, in jumps, or by a new line that begins within the 30 months."""
    climate = replace(
        account.climate, jumps=0.06, jump_mean=0.05, jump_spread=0.3, growth=rng.uniform(0.1, 0.3)
    )
    kinds = account.kinds
    if number != 0:
        usual = kinds[0]
        line = _kind(
            rng,
            "New line",
            0,
            intake=usual.intake * rng.uniform(0.5, 1.0),
            stages=len(usual.waits),
            days=sum(usual.waits) * rng.uniform(0.5, 0.9),
            win_rate=rng.uniform(0.3, 0.5),
            mean=usual.mean + rng.normal(0.1, 0.5),
            spread=usual.spread,
        )
        begins = account.anchor + int(rng.integers(9, 20))
        kinds = (*kinds, replace(line, begins=begins, ramp=int(rng.integers(3, 8))))
        climate = replace(climate, growth=rng.uniform(0, 0.1))
    return replace(account, climate=climate, kinds=kinds)


def _freeze(rng: np.random.Generator, account: Account, number: int) -> Account:
    """Let the market freeze for some months, now and then, and thaw."""
    del number
    climate = replace(
        account.climate,
        freezes=rng.uniform(0.08, 0.11),
        thaws=rng.uniform(0.25, 0.4),
        frozen_work=rng.uniform(0.35, 0.6),
        frozen_signing=rng.uniform(0.06, 0.2),
        frozen_demand=rng.uniform(0.4, 0.75),
    )
    return replace(account, climate=climate)


def _careless(rng: np.random.Generator, account: Account, number: int) -> Account:
    """Leave dates and dead deals as they are, until somebody tidies up."""
    owners = tuple(
        replace(o, care=rng.uniform(0.05, 0.35), optimism=rng.uniform(0.35, 0.85))
        for o in account.owners
    )
    return replace(
        account,
        owners=owners,
        silent=rng.uniform(0.6, 0.8),
        forgotten=rng.uniform(150, 320) if number != 2 else rng.uniform(80, 120),
        cleanups=_cleanups(rng, account.anchor, int(rng.choice([1, 2]))) if number != 2 else (),
        undated=rng.uniform(0.08, 0.2),
        unvalued=rng.uniform(0.04, 0.12),
        deleted=rng.uniform(0.05, 0.15),
        paused=rng.uniform(0.03, 0.08),
    )


def _whale(rng: np.random.Generator, account: Account, number: int) -> Account:
    """Add one customer whose orders dwarf the others."""
    month = sum(k.intake * 0.3 * np.exp(k.mean + k.spread**2 / 2) for k in account.kinds)
    usual = account.kinds[0]
    order = _kind(
        rng,
        "Key account",
        0,
        intake=0,
        stages=len(usual.waits),
        days=sum(usual.waits) * rng.uniform(1.0, 1.5),
        win_rate=rng.uniform(0.5, 0.7),
        mean=float(np.log(month * rng.uniform(1.5, 4.5))),
        spread=rng.uniform(0.3, 0.5),
    )
    del number
    order = replace(order, gap=rng.uniform(60, 150), tail=0.0)
    return replace(account, kinds=(*account.kinds, order))


def _young(rng: np.random.Generator, account: Account, number: int) -> Account:
    """Connect the account four or five months before the end.

    Two of three brought their open deals along; the third one is a new firm.
    """
    seen = 4 + int(rng.integers(2))
    last = account.anchor + MONTHS - 1
    account = replace(account, months=account.months[-seen:])
    if number % 3 < 2:
        return replace(account, connected=first_day(last - seen + 1))
    start = last - seen - 1
    kinds = tuple(
        replace(k, begins=start, ramp=3, waits=tuple(0.5 * w for w in k.waits))
        for k in account.kinds
    )
    return replace(account, opens=first_day(start), connected=first_day(start), kinds=kinds)


def _renamed(rng: np.random.Generator, account: Account, number: int) -> Account:
    """Rename the milestones in mid-history, and merge two of them; one account keeps the ids."""
    pipes = account.pipes[0]
    ladder = LADDERS[int(rng.integers(len(LADDERS)))]
    keeps = number == 0
    after = []
    for pipe in pipes:
        length = len(pipe.milestones)
        merged = length if keeps or length < 4 else length - 1
        names = [f"{pipe.number}. {name}" for name in (*ladder[: merged - 1], ladder[-1])]
        stated = np.round(np.linspace(0.05, 0.8, merged), 2)
        ids = (
            [m[0] for m in pipe.milestones]
            if keeps
            else [500 + 10 * pipe.number + n for n in range(merged)]
        )
        cut = int(rng.integers(1, length))
        of_stage = tuple(n - (merged < length and n >= cut) for n in range(length))
        after.append(
            Pipe(
                pipe.name,
                pipe.number,
                tuple((i, n, float(p)) for i, n, p in zip(ids, names, stated, strict=True)),
                of_stage,
            )
        )
    day = first_day(account.anchor + int(rng.integers(10, 20))) + int(rng.integers(28))
    return replace(account, pipes=(pipes, tuple(after)), renamed=day, keeps_ids=keeps)


def _currencies(rng: np.random.Generator, account: Account, number: int) -> Account:
    """Sell in two currencies, the second one a third of the deals or more."""
    codes, rate = [(("GBP", "USD"), 1.27), (("EUR", "SEK"), 11.2), (("USD", "EUR"), 0.92)][number]
    share = rng.uniform(0.33, 0.5)
    kinds = tuple(replace(k, intake=k.intake * 1.3) for k in account.kinds)
    return replace(
        account, kinds=kinds, currencies=codes, shares=(1 - share, share), rates=(1.0, rate)
    )
