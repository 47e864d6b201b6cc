"""A firm, day by day: customers decide when they decide, and the list learns of it later.

Each deal has a hidden truth (whether anyone will ever buy, how well the offer fits, the day on
which the customer will decide) and what its owner has typed into the list. Owners look at a deal
now and then; only then do milestone, expected close, probability and value move, and only then
is a dead deal found to be dead. One engine runs many copies of the firm at once, side by side in
one table: a single copy is the history, a hundred copies from one moment are its futures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ._firms import Firm

FIRST = np.datetime64("2023-01-31")
"""Day of the first snapshot; days are counted from it."""
NEVER = 10**6
STEPS = (0.18, 0.4, 0.65, 0.85)
"""Shares of the way to the decision at which a deal enters its second to fifth milestone."""
FEWER_STEPS = (0.3, 0.7)
"""The same after the milestones were redone."""
CHANCES = (0.1, 0.25, 0.5, 0.7, 0.9)
FEWER_CHANCES = (0.2, 0.5, 0.8)

_FIELDS: dict[str, Any] = {
    "copy": np.int64, "id": np.int64, "owner": np.int64, "product": np.int64,
    "currency": np.int64, "value": float, "duration": np.int64, "created": float,
    "fit": float, "decide": float, "begun": float, "alive": bool, "told": np.int64,
    "stage": np.int64, "stage_day": float, "expected": float, "stated": float,
    "touched": float, "renewal": bool, "outcome": np.int64, "closed": float, "name": np.int64,
}  # fmt: skip
OPEN, WON, LOST, DELETED = 0, 1, 2, 3


def calendar(day: int) -> tuple[int, int, int, bool, bool]:
    """Give a day's year, month (0-11), weekday, and whether it ends a month, or is worked on."""
    date = FIRST + day
    month = date.astype("datetime64[M]")
    index = int(month.astype(int))
    weekday = int((date.astype(int) + 3) % 7)
    first = month.astype("datetime64[D]")
    of_month = int((date - first).astype(int)) + 1
    last = (month + 1).astype("datetime64[D]") - 1 == date
    holidays = (index % 12 == 11 and of_month >= 23) or (index % 12 == 0 and of_month <= 3)
    return index // 12 + 1970, index % 12, weekday, bool(last), weekday < 5 and not holidays


def _month_end(days: NDArray[np.float64], months: int = 1) -> NDArray[np.float64]:
    """Give the last day of the month (or quarter) in which each day falls."""
    dates = FIRST + days.astype(np.int64)
    index = dates.astype("datetime64[M]").astype(np.int64)
    ends = (index // months + 1) * months
    last = ends.astype("datetime64[M]").astype("datetime64[D]") - 1
    last = np.where(ends % 12 == 0, last - 9, last)  # a year ends before its holidays
    return (last - FIRST).astype(float)


class Days:
    """A firm's copies at one moment, and how a day changes them."""

    def __init__(self, firm: Firm, seed: list[int], day: int) -> None:
        """Begin with an empty list on a day."""
        self.firm = firm
        self.rng = np.random.default_rng(seed)
        self.day = day
        self.copies = 1
        self.deals = self._none()
        self.coming = self._none()
        self.archive: list[dict[str, NDArray[Any]]] = []
        self.keep = True
        self.next_id = 1
        size = (1, firm.owners)
        self.people = {
            "skill": self.rng.normal(0, 0.35, size),
            "pace": np.exp(self.rng.normal(0, 0.3, size)),
            "hope": np.exp(self.rng.normal(0, 0.25, size)),
            "since": np.full(size, -NEVER),
            "name": np.arange(firm.owners)[None, :],
        }
        self.names = firm.owners
        self.market = self.rng.normal(0, firm.market, 1)
        self.level = np.zeros(1)
        self.frozen = np.zeros(1)
        self.thaw = np.zeros(1)
        self.campaign = np.zeros(1)
        self.won: NDArray[np.float64] | None = None

    @staticmethod
    def _none() -> dict[str, NDArray[Any]]:
        return {name: np.empty(0, kind) for name, kind in _FIELDS.items()}

    def futures(self, copies: int, seed: list[int]) -> Days:
        """Copy this moment many times over, each with its own chance from here on."""
        other = object.__new__(Days)
        other.__dict__.update(self.__dict__)
        other.rng = np.random.default_rng(seed)
        other.copies = copies
        other.keep = False
        other.archive = []
        for name in ("deals", "coming"):
            table = getattr(self, name)
            rows = len(table["id"])
            tiled = {field: np.tile(column, copies) for field, column in table.items()}
            tiled["copy"] = np.repeat(np.arange(copies), rows)
            setattr(other, name, tiled)
        other.people = {
            field: np.repeat(each, copies, axis=0) for field, each in self.people.items()
        }
        for name in ("market", "level", "frozen", "thaw", "campaign"):
            setattr(other, name, np.repeat(getattr(self, name), copies))
        return other

    def frozen_copy(self) -> Days:
        """Keep this moment, to begin futures from it."""
        other = object.__new__(Days)
        other.__dict__.update(self.__dict__)
        for name in ("deals", "coming"):
            setattr(
                other, name, {field: each.copy() for field, each in getattr(self, name).items()}
            )
        for name in ("market", "level", "frozen", "thaw", "campaign"):
            setattr(other, name, getattr(self, name).copy())
        other.archive = []
        return other

    # What a day brings ------------------------------------------------------------------

    def step(self) -> None:
        """Live through one day."""
        self.day += 1
        _, self.month, self.weekday, self.month_end, self.works = calendar(self.day)
        self._weather()
        self._people_leave()
        if self.works:
            self._arrivals()
            self._decisions()
            self._recordings()
            self._touches()
        self._clean_up()
        self._put_away()

    def _weather(self) -> None:
        """Market, level of intake, freezes and campaigns, for each copy by itself."""
        firm, rng, size = self.firm, self.rng, self.copies
        pull = 1 / 110
        self.market += -pull * self.market + firm.market * np.sqrt(2 * pull) * rng.normal(size=size)
        breaks = rng.random(size) < firm.break_rate
        self.level = self.level + breaks * rng.normal(0, firm.break_size * 1.6, size)
        self.level += firm.growth / 365
        ending = (self.frozen > 0) & (self.frozen <= 1)
        self.thaw = np.where(ending, 40.0, np.maximum(self.thaw - 1, 0))
        self.frozen = np.maximum(self.frozen - 1, 0)
        starts = (rng.random(size) < firm.freeze_rate) & (self.frozen == 0) & (self.thaw == 0)
        lengths = rng.gamma(6, firm.freeze_days / 6, size)
        self.frozen = np.where(starts, lengths, self.frozen)
        self.campaign = np.maximum(self.campaign - 1, 0)
        begins = (rng.random(size) < firm.campaign_rate) & (self.campaign == 0)
        self.campaign = np.where(begins, rng.integers(6, 20, size), self.campaign)

    def _people_leave(self) -> None:
        """Owners go; who follows them needs time, and some of their deals are let fall."""
        gone = self.rng.random(self.people["skill"].shape) < self.firm.leave
        if not gone.any():
            return
        count = int(gone.sum())
        self.people = {field: each.copy() for field, each in self.people.items()}
        self.people["skill"][gone] = self.rng.normal(0, 0.35, count)
        self.people["pace"][gone] = np.exp(self.rng.normal(0, 0.3, count))
        self.people["hope"][gone] = np.exp(self.rng.normal(0, 0.25, count))
        self.people["since"][gone] = self.day
        self.people["name"][gone] = self.names + np.arange(count)
        self.names += count
        deals = self.deals
        theirs = gone[deals["copy"], deals["owner"]] & (deals["outcome"] == OPEN)
        fall = theirs & (deals["told"] == OPEN) & (self.rng.random(len(theirs)) < 0.25)
        deals["alive"] = deals["alive"] & ~fall
        deals["decide"] = np.where(
            theirs & ~fall, deals["decide"] + self.rng.exponential(15, len(theirs)), deals["decide"]
        )

    def _arrivals(self) -> None:
        """Enter new enquiries, quick sales, sales that were already made, and renewals."""
        firm, rng = self.firm, self.rng
        month = self.day / 30.4
        shares = np.array([p.share if p.from_month <= month else 0.0 for p in firm.products])
        rate = (
            firm.enquiries
            * firm.months[self.month]
            * shares.sum()
            * np.exp(self.level + 0.5 * self.market)
        )
        rate = rate * np.where(self.campaign > 0, 1 + firm.campaign_size, 1.0)
        rate = rate * np.where(self.frozen > 0, 0.6, 1.0)
        counts = rng.poisson(rate)
        copy = np.repeat(np.arange(self.copies), counts)
        new = self._deals(copy, rng.choice(len(shares), len(copy), p=shares / shares.sum()))
        burst = self.campaign[copy] > 0
        new["alive"] &= ~(burst & (rng.random(len(copy)) < 0.35))
        if firm.whale_rate:
            self._add(self._whales())
        self._add(new)
        due = self.coming["created"] <= self.day + 1
        if due.any():
            again = {field: column[due] for field, column in self.coming.items()}
            self.coming = {field: column[~due] for field, column in self.coming.items()}
            again["created"] = self.day + rng.uniform(0.35, 0.75, len(again["id"]))
            again["stage_day"] = again["touched"] = again["begun"] = again["created"]
            self._add(again)

    def _deals(
        self, copy: NDArray[np.int64], product: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        """Draw new deals: what is true of them, and what is typed at first."""
        firm, rng, count = self.firm, self.rng, len(copy)
        kinds = firm.products
        owner = rng.integers(0, firm.owners, count)
        price = np.array([p.price for p in kinds])[product]
        spread = np.array([p.spread for p in kinds])[product]
        size = rng.normal(size=count)
        rise = (1 + firm.price_rise) ** np.floor((self.day + 31) / 365.25)
        value = price * rise * np.exp(spread * size)
        digits = 10.0 ** (np.floor(np.log10(value)) - 1)
        value = np.round(value / digits) * digits
        duration = np.zeros(count, np.int64)
        for number, kind in enumerate(kinds):
            if kind.months:
                mine = product == number
                duration[mine] = rng.choice(kind.months, int(mine.sum()))
        slow = np.array([p.slow for p in kinds])[product] * np.exp(0.18 * size)
        length = firm.cycle * slow * np.exp(rng.normal(0, firm.cycle_spread, count))
        kind = rng.random(count)
        quick = kind < firm.quick
        after = ~quick & (kind < firm.quick + firm.after_the_fact)
        length = np.where(quick, rng.exponential(6, count), np.where(after, 0.0, length))
        known = (rng.random(count) < 0.2) & ~quick & ~after  # entered when well under way
        begun = self.day - np.where(known, rng.uniform(0, 0.6, count) * length, 0.0)
        created = self.day + rng.uniform(0.33, 0.75, count)
        alive = (rng.random(count) < firm.real) | quick | after
        fit = rng.normal(0, firm.fit, count) + np.where(quick, 0.9, 0.0) - 0.1 * size
        new = {name: np.zeros(count, dtype) for name, dtype in _FIELDS.items()}
        new |= {
            "copy": copy, "owner": owner, "product": product, "value": value,
            "duration": duration, "created": created, "begun": begun, "alive": alive, "fit": fit,
            "decide": self._pulled(begun + length),
            "currency": rng.choice(len(firm.currencies), count, p=firm.currency_shares),
            "stage_day": created.copy(), "touched": created.copy(),
            "stated": np.full(count, np.nan), "closed": np.full(count, np.nan),
        }  # fmt: skip
        new["told"] = np.where(after, WON, OPEN)
        new["decide"] = np.where(after, self.day, new["decide"])
        new["name"] = self.people["name"][copy, owner]
        new["expected"] = np.where(rng.random(count) < firm.undated, np.nan, self._typed(new))
        new["stage"] = self._stage(new, np.zeros(count, np.int64))
        return new

    def _whales(self) -> dict[str, NDArray[Any]]:
        """One customer, whose contracts are larger than all the others together."""
        counts = self.rng.poisson(self.firm.whale_rate, self.copies)
        copy = np.repeat(np.arange(self.copies), counts)
        new = self._deals(copy, np.zeros(len(copy), np.int64))
        new["value"] = np.round(
            self.firm.products[0].price
            * self.firm.whale_scale
            * np.exp(self.rng.normal(0, 0.4, len(copy))),
            -2,
        )
        new["decide"] = self.day + self.firm.cycle * 2 * np.exp(self.rng.normal(0, 0.5, len(copy)))
        new["told"][:] = OPEN
        new["alive"][:] = self.rng.random(len(copy)) < 0.85
        new["fit"] += 0.4
        return new

    def _pulled(self, decide: NDArray[np.float64]) -> NDArray[np.float64]:
        """Let some decisions fall to the last days of a quarter or a month."""
        firm, rng = self.firm, self.rng
        chance = rng.random(len(decide))
        early = rng.integers(0, 6, len(decide))
        decide = np.where(
            chance < firm.quarter_pull,
            _month_end(decide, 3) - early,
            np.where(
                chance < firm.quarter_pull + firm.month_pull, _month_end(decide) - early, decide
            ),
        )
        return np.maximum(decide, self.day + 0.5)

    def _decisions(self) -> None:
        """Let customers decide: yes, no, later, or they are never heard of again."""
        firm, rng, deals = self.firm, self.rng, self.deals
        due = np.flatnonzero(
            (deals["outcome"] == OPEN)
            & (deals["told"] == OPEN)
            & deals["alive"]
            & (deals["decide"] <= self.day + 1)
        )
        if not len(due):
            return
        copy = deals["copy"][due]
        open_door = (
            np.where(self.frozen[copy] > 0, 0.02, np.where(self.thaw[copy] > 0, 0.2, 1.0))
            * firm.signing[self.month]
        )
        due = due[rng.random(len(due)) < np.minimum(open_door, 1.0)]
        copy = deals["copy"][due]
        market = self.market[copy]
        slip = (
            firm.slip * np.exp(-0.5 * market) * np.where(deals["begun"][due] > self.day - 8, 0.3, 1)
        )
        later = rng.random(len(due)) < slip
        where = due[later]
        deals["decide"][where] = self._pulled(
            self.day + 2 + rng.exponential(firm.slip_days, len(where))
        )
        due, copy, market = due[~later], copy[~later], market[~later]
        owner = deals["owner"][due]
        new_here = self.day - self.people["since"][copy, owner] < 120
        logit = (
            firm.odds
            + deals["fit"][due]
            + self.people["skill"][copy, owner]
            - 0.4 * new_here
            + 0.6 * market
            + np.where(deals["renewal"][due], 1.6, 0.0)
            - 0.004 * np.maximum(self.day - deals["created"][due] - 2 * firm.cycle, 0)
        )
        yes = rng.random(len(due)) < 1 / (1 + np.exp(-logit))
        deals["told"][due[yes]] = WON
        haggled = due[yes][rng.random(int(yes.sum())) < 0.3]
        deals["value"][haggled] = np.round(
            deals["value"][haggled] * rng.uniform(0.8, 1.0, len(haggled))
        )
        no = due[~yes]
        says_so = rng.random(len(no)) < 0.6
        deals["told"][no[says_so]] = LOST
        deals["alive"][no[~says_so]] = False

    def _recordings(self) -> None:
        """Enter what customers have said: the tidy do it soon, the others at the end of a month."""
        deals, firm = self.deals, self.firm
        waiting = np.flatnonzero((deals["outcome"] == OPEN) & (deals["told"] != OPEN))
        told = deals["told"][waiting]
        pace = 0.25 + firm.tidy
        chance = np.where(told == WON, pace + 0.25, 0.4 * pace)
        _, _, _, near, _ = calendar(self.day + 2)
        if self.month_end or near or calendar(self.day + 1)[3]:
            chance = np.where(told == WON, 0.85, 0.5)
        now = self.rng.random(len(waiting)) < chance
        self._close(waiting[now], told[now])

    def _touches(self) -> None:
        """Owners look at some deals and type what they believe."""
        deals, firm, rng = self.deals, self.firm, self.rng
        rate = firm.touch * self.people["pace"][deals["copy"], deals["owner"]]
        rate = rate * np.where(deals["alive"], 1.0, 0.6)
        if self.weekday == 0:
            rate = rate * 2
        ending = calendar(self.day + 3)[1] != self.month
        if ending:
            rate = rate * 2
        seen = np.flatnonzero((deals["outcome"] == OPEN) & (rng.random(len(rate)) < rate))
        if not len(seen):
            return
        part = {field: column[seen] for field, column in deals.items()}
        dead = ~part["alive"] & (part["told"] == OPEN)
        late = np.nan_to_num(self.day - part["expected"], nan=30.0) > 0
        given_up = dead & (rng.random(len(seen)) < firm.tidy * np.where(late, 0.35, 0.1))
        old = part["stage"]
        part["stage"] = self._stage(part, old)
        part["stage_day"] = np.where(part["stage"] != old, self.day + 0.6, part["stage_day"])
        belief = self._typed(part)
        overdue = part["expected"] < self.day
        off = np.abs(part["expected"] - belief) > 40
        blank = np.isnan(part["expected"]) & (part["stage"] >= 2)
        retype = rng.random(len(seen)) < np.where(
            overdue, 0.3 + firm.tidy, np.where(off, 0.35, np.where(blank, 0.4, 0.0))
        )
        part["expected"] = np.where(retype, belief, part["expected"])
        own = rng.random(len(seen)) < firm.overwrites * 0.5
        guess = self._progress(part) * self.people["hope"][
            part["copy"], part["owner"]
        ] + rng.normal(0, 0.15, len(seen))
        part["stated"] = np.where(own, np.clip(np.round(guess, 1), 0.05, 0.95), part["stated"])
        revised = rng.random(len(seen)) < 0.06
        part["value"] = np.where(
            revised,
            np.round(part["value"] * np.exp(rng.normal(-0.02, 0.2, len(seen)))),
            part["value"],
        )
        part["touched"] = np.full(len(seen), self.day + 0.6)
        for field in ("stage", "stage_day", "expected", "stated", "value", "touched"):
            deals[field][seen] = part[field]
        deals["name"][seen] = self.people["name"][part["copy"], part["owner"]]
        self._close(seen[given_up], np.full(int(given_up.sum()), LOST))

    def _progress(self, part: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        """How far a deal seems to be: a dead one looks half way for ever."""
        span = np.maximum(part["decide"] - part["begun"], 3.0)
        way = (self.day - part["begun"]) / span
        hollow = np.minimum(way, 0.25 + 0.15 * np.tanh(part["fit"]))
        return np.clip(np.where(part["alive"] | (part["told"] == WON), way, hollow), 0, 1)

    def _stage(self, part: dict[str, NDArray[Any]], old: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the milestone that an owner would choose: seldom back, sometimes too far."""
        firm, rng = self.firm, self.rng
        redone = firm.renamed_in is not None and self.day >= firm.renamed_in * 30.4
        steps = FEWER_STEPS if redone else STEPS
        seems = self._progress(part) + rng.normal(0, 0.13, len(old))
        stage = np.searchsorted(steps, seems)
        back = rng.random(len(old)) < 0.15
        stage = np.where(stage < old, np.where(back, stage, old), stage)
        return np.minimum(stage, len(steps)).astype(np.int64)

    def _typed(self, part: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Give the close date that an owner would type: hopeful, and round."""
        firm, rng, count = self.firm, self.rng, len(part["decide"])
        hope = firm.optimism * self.people["hope"][part["copy"], part["owner"]]
        left = np.maximum(part["decide"] - self.day, 3.0)
        left = left * np.minimum(hope, 1.3) * np.exp(rng.normal(0, 0.35, count))
        dead = ~part["alive"] & (part["told"] == OPEN)
        left = np.where(dead, rng.uniform(10, 75, count), left)
        day = np.floor(self.day + left)
        style = rng.random(count)
        return np.where(
            style < 0.4, _month_end(day), np.where(style < 0.55, _month_end(day, 3), day)
        )

    def _clean_up(self) -> None:
        """Somebody goes through the list and closes what is long overdue, all in one day."""
        deals, rng, firm = self.deals, self.rng, self.firm
        today = rng.random(self.copies) < 1 / firm.clean_up
        if not today.any():
            return
        late = self.day - np.where(
            np.isnan(deals["expected"]), deals["touched"] + 60, deals["expected"]
        )
        mine = today[deals["copy"]] & (deals["outcome"] == OPEN) & (deals["told"] == OPEN)
        swept = np.flatnonzero(
            mine & (late > 40) & (rng.random(len(late)) < np.where(deals["alive"], 0.25, 0.75))
        )
        gone = rng.random(len(swept)) < firm.deletes
        self._close(swept, np.where(gone, DELETED, LOST))

    def _close(self, where: NDArray[np.int64], outcome: NDArray[np.int64]) -> None:
        """Close deals in the list today; customers of contracts come again."""
        deals = self.deals
        deals["outcome"][where] = outcome
        deals["closed"][where] = self.day
        won = where[outcome == WON]
        if not len(won):
            return
        if self.won is not None:
            worth = deals["value"][won] * np.maximum(deals["duration"][won], 1)
            np.add.at(self.won, (deals["copy"][won], deals["currency"][won]), worth)
        chance = np.array([p.renews for p in self.firm.products])[deals["product"][won]]
        chance = np.where(deals["renewal"][won], np.minimum(chance * 1.6, 0.9), chance)
        again = won[self.rng.random(len(won)) < chance]
        if not len(again):
            return
        count = len(again)
        run = np.maximum(deals["duration"][again], 12) * 30.4
        renewal = {field: column[again].copy() for field, column in deals.items()}
        due = self.day + run + self.rng.normal(0, 8, count)
        renewal["created"] = np.maximum(due - self.rng.uniform(25, 80, count), self.day + 5)
        renewal["decide"] = due
        renewal["alive"] = np.ones(count, bool)
        renewal["told"] = renewal["outcome"] = np.zeros(count, np.int64)
        renewal["closed"] = np.full(count, np.nan)
        renewal["stated"] = np.full(count, np.nan)
        renewal["stage"] = np.ones(count, np.int64)
        renewal["expected"] = np.floor(due)
        renewal["renewal"] = np.ones(count, bool)
        renewal["value"] = np.round(
            renewal["value"] * (1 + self.firm.price_rise) * np.exp(self.rng.normal(0, 0.08, count))
        )
        self.coming = {
            field: np.concatenate([column, renewal[field]]) for field, column in self.coming.items()
        }

    def _add(self, new: dict[str, NDArray[Any]]) -> None:
        """Put new deals into the list, each with a number of its own."""
        count = len(new["copy"])
        if not count:
            return
        new["id"] = self.next_id + np.arange(count)
        self.next_id += count
        self.deals = {
            field: np.concatenate([column, new[field].astype(column.dtype)])
            for field, column in self.deals.items()
        }

    def _put_away(self) -> None:
        """Keep the table of open deals short."""
        done = self.deals["outcome"] != OPEN
        if not done.any() or (not self.keep and self.day % 5):
            return
        if self.keep:
            self.archive.append({field: column[done] for field, column in self.deals.items()})
        self.deals = {field: column[~done] for field, column in self.deals.items()}

    def all_deals(self) -> dict[str, NDArray[Any]]:
        """Every deal that is still in the list, closed ones too."""
        parts = [*self.archive, self.deals]
        table = {field: np.concatenate([part[field] for part in parts]) for field in _FIELDS}
        there = table["outcome"] != DELETED
        order = np.argsort(table["id"][there])
        return {field: column[there][order] for field, column in table.items()}


def month_end_day(month: int) -> int:
    """Give the day of the end of a month; month 0 ends on the day of the first snapshot."""
    end = (FIRST.astype("datetime64[M]") + month + 1).astype("datetime64[D]") - 1
    return int((end - FIRST).astype(int))


def live(firm: Firm, months: int, each: Callable[[int, Days], None]) -> Days:
    """Run a firm from its beginning to a month's end, and show it at every end of a month."""
    state = Days(firm, [firm.seed, 3], month_end_day(-firm.months_before - 1))
    for month in range(-firm.months_before, months):
        while state.day < month_end_day(month):
            state.step()
        if month >= 0:
            each(month, state)
    return state


def futures(state: Days, month: int, ahead: int, copies: int) -> NDArray[np.float64]:
    """Replay what may come: won value by copy, month ahead and currency."""
    firm = state.firm
    many = state.futures(copies, [firm.seed, 4, month])
    out = np.zeros((copies, ahead, len(firm.currencies)))
    for step in range(ahead):
        many.won = out[:, step]
        while many.day < month_end_day(month + step + 1):
            many.step()
    return out
