"""The firms of the second world: what kind of business each is, drawn from wide ranges."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

TEMPERAMENTS = (
    "steady",
    "small",
    "lumpy",
    "quarter_ends",
    "growing",
    "freeze",
    "careless",
    "whale",
    "young",
    "renamed",
)
"""Kinds of business that are scored, two firms of each in a group."""

GROUPS = {"choose": 10_000, "report": 20_000, "fresh": 30_000}
"""First seed of each group of firms: models are chosen on one and reported on another."""

EACH, YOUNG = 2, 6
"""Firms of a temperament in a group; of the young ones more, as they have few month ends."""


@dataclass(frozen=True)
class Product:
    """Something that the firm sells: its share of enquiries, its price and its contract."""

    share: float
    price: float
    spread: float
    renews: float = 0.0
    months: tuple[int, ...] = ()
    slow: float = 1.0
    from_month: int = -999


@dataclass(frozen=True)
class Firm:
    """How a firm sells. Rates are per working day, times in days, chances 0 to 1."""

    name: str
    temperament: str
    seed: int
    months_before: int
    months_seen: int
    enquiries: float
    products: tuple[Product, ...]
    currencies: tuple[str, ...] = ("GBP",)
    currency_shares: tuple[float, ...] = (1.0,)
    owners: int = 4
    leave: float = 0.0006
    real: float = 0.6
    odds: float = 0.3
    fit: float = 1.1
    cycle: float = 55.0
    cycle_spread: float = 0.7
    quick: float = 0.15
    after_the_fact: float = 0.05
    slip: float = 0.35
    slip_days: float = 35.0
    touch: float = 0.10
    tidy: float = 0.3
    undated: float = 0.08
    optimism: float = 0.8
    overwrites: float = 0.25
    quarter_pull: float = 0.1
    month_pull: float = 0.2
    clean_up: float = 120.0
    deletes: float = 0.0
    months: tuple[float, ...] = (0.85, 1.0, 1.1, 1.0, 1.0, 1.05, 0.9, 0.7, 1.1, 1.1, 1.1, 0.7)
    signing: tuple[float, ...] = (0.8, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.5, 1.0, 1.0, 1.0, 0.8)
    growth: float = 0.0
    break_rate: float = 0.0006
    break_size: float = 0.25
    campaign_rate: float = 0.004
    campaign_size: float = 1.5
    freeze_rate: float = 0.0
    freeze_days: float = 60.0
    market: float = 0.2
    whale_rate: float = 0.0
    whale_scale: float = 25.0
    price_rise: float = 0.04
    renamed_in: int | None = None


def _basic(temperament: str, seed: int) -> Firm:
    """Draw what every firm has, whatever its temperament."""
    rng = np.random.default_rng([seed, 1])
    price = float(np.exp(rng.uniform(np.log(1_500), np.log(40_000))))
    products = [Product(0.7, price, rng.uniform(0.5, 1.1), renews=rng.choice([0.0, 0.0, 0.4]))]
    if rng.random() < 0.5:  # a retainer, paid by the month
        products.append(Product(0.25, price / 9, rng.uniform(0.3, 0.7), 0.5, (3, 6, 12, 12, 24)))
    if rng.random() < 0.5:  # a large project now and then
        products.append(Product(0.12, price * 5, rng.uniform(0.5, 0.9), slow=1.6))
    several = rng.random() < 0.3
    season = np.array(Firm.months) * np.exp(rng.normal(0, 0.1, 12))
    return Firm(
        name=f"{temperament}-{seed}",
        temperament=temperament,
        seed=seed,
        months_before=int(rng.integers(14, 40)),
        months_seen=30,
        enquiries=float(np.exp(rng.uniform(np.log(0.8), np.log(3.4)))),
        products=tuple(products),
        currencies=("GBP", "EUR") if several else ("GBP",),
        currency_shares=(0.7, 0.3) if several else (1.0,),
        owners=int(rng.integers(2, 8)),
        leave=rng.uniform(0.0003, 0.0012),
        real=rng.uniform(0.45, 0.75),
        odds=rng.normal(0.1, 0.5),
        fit=rng.uniform(0.6, 1.5),
        cycle=float(np.exp(rng.uniform(np.log(32), np.log(105)))),
        cycle_spread=rng.uniform(0.5, 0.9),
        quick=rng.uniform(0.03, 0.22),
        after_the_fact=rng.uniform(0.0, 0.1),
        slip=rng.uniform(0.2, 0.5),
        slip_days=rng.uniform(20, 50),
        touch=rng.uniform(0.025, 0.11),
        tidy=rng.uniform(0.15, 0.5),
        undated=rng.uniform(0.0, 0.15),
        optimism=rng.uniform(0.55, 1.0),
        overwrites=rng.choice([0.0, 0.2, 0.6]),
        quarter_pull=rng.uniform(0.0, 0.2),
        month_pull=rng.uniform(0.1, 0.35),
        clean_up=rng.uniform(70, 250),
        deletes=rng.choice([0.0, 0.0, 0.1]),
        months=tuple(season / season.mean()),
        growth=rng.normal(0.03, 0.1),
        market=rng.uniform(0.1, 0.3),
        price_rise=rng.uniform(0.0, 0.07),
    )


def _temper(firm: Firm) -> Firm:
    """Give a firm what its temperament is named after."""
    rng = np.random.default_rng([firm.seed, 2])
    main = firm.products[0]
    change: dict[str, object] = {
        "small": {"enquiries": rng.uniform(0.3, 0.75), "owners": int(rng.integers(1, 4))},
        "lumpy": {
            "enquiries": firm.enquiries * 0.4,
            "products": (
                replace(main, spread=1.2),
                Product(0.2, main.price * 9, 1.0, slow=1.7),
            ),
        },
        "quarter_ends": {
            "quarter_pull": rng.uniform(0.5, 0.75),
            "months": tuple(
                np.array(firm.months) * (1 + rng.uniform(0.2, 0.45) * np.cos(np.arange(12) / 1.91))
            ),
        },
        "growing": {
            "growth": rng.uniform(0.3, 0.7),
            "break_rate": 0.0012,
            "products": (
                *firm.products,
                Product(
                    rng.uniform(0.3, 0.6),
                    main.price * float(rng.choice([0.4, 2.0])),
                    0.6,
                    slow=0.7,
                    from_month=int(rng.integers(8, 24)),
                ),
            ),
        },
        "freeze": {
            "freeze_rate": 1 / 240,
            "freeze_days": rng.uniform(40, 90),
            "market": 0.35,
        },
        "careless": {
            "touch": firm.touch * 0.3,
            "tidy": 0.06,
            "undated": 0.25,
            "optimism": 0.5,
            "clean_up": rng.uniform(200, 420),
            "deletes": rng.choice([0.0, 0.25]),
            "real": firm.real * 0.75,
        },
        "whale": {"whale_rate": rng.uniform(2, 5) / 260, "whale_scale": rng.uniform(15, 45)},
        "young": {
            "months_before": 0,
            "months_seen": int(rng.integers(4, 9)),
            "enquiries": firm.enquiries * 1.3,
        },
        "renamed": {"renamed_in": int(rng.integers(9, 24))},
    }.get(firm.temperament, {})
    return replace(firm, **change)  # type: ignore[arg-type]


def firms(group: str) -> list[Firm]:
    """Draw the firms of a group, the same at every call."""
    first = GROUPS[group]
    return [
        _temper(_basic(temperament, first + 100 * number + copy))
        for number, temperament in enumerate(TEMPERAMENTS)
        for copy in range(YOUNG if temperament == "young" else EACH)
    ]
