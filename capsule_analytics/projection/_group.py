r"""What the accounts of a group learn from each other: small ones are drawn to what is usual.

Of each account ``a`` the likelihood of its coefficients is kept as a normal one, with precision
``L_a`` and ``eta_a = L_a`` times its peak. Over the accounts the coefficients are taken as normal
around a mean ``mu`` with standard deviations ``tau``, and ``mu`` as normal around the priors that
an account by itself starts from. Both are found by an EM algorithm (Dempster, Laird & Rubin 1977;
empirical Bayes: Efron & Morris 1975; Gelman et al., Bayesian Data Analysis, ch. 5). The prior of an
account is what all others say of it: its own part is taken out of ``mu``, so that nothing counts
twice.

The time from entry to win and the season are learnt from sums over the accounts. So is the shock
that they share, filtered from the wins of all as an account's own is from its wins; what an account
has for itself comes on top. All this is done as of several days, each knowing nothing later, so
that the past is projected as it would have been.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from capsule_analytics.errors import ArgumentError

from ._evidence import day_number, month_of
from ._known import ALONE, OWN_SEASON, Centre, Known, Prior
from ._lessons import lesson_days, without
from ._new_business import Experience, Wins, kernel_of
from ._open_deals import Endings
from ._shock import USUAL_KINDS, Season, Shock, filter_shocks, season_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from ._features import Feature
    from ._fit import Months
    from ._lessons import Lesson, Told

# Accounts of a group are taken to be half as different as accounts are, which weighs as much as
# two of them.
_ALIKE, _ALIKE_COUNTS = 0.5, 4.0
_STEPS = 15
# How much the share of deals that are won differs between accounts: half, as far as one account
# with ten wins tells; between a tenth and seven tenths.
_WINS_APART, _WINS_TOLD, _LEAST_APART, _MOST_APART = 0.5, 100.0, 0.01, 0.5
# The variance of a month that accounts share and that they have for themselves, worth 25 wins².
_SHARED, _OWN, _SHOCK_TOLD, _LEAST_OWN = 0.02, 0.03, 25.0, 0.005
_KINDS_TOLD = 4.0
_HALF_LIFE = 24.0


@dataclass(frozen=True)
class _Coefficients:
    """The normal law of a group's coefficients; arrays of (2, features), or of that by account.

    `within` and `pull` are what each account adds to the precision of the mean, and to that times
    the mean; `precision` and `weighed` are their sums with the priors'.
    """

    features: tuple[Feature, ...]
    apart: NDArray[np.float64]
    within: NDArray[np.float64]
    pull: NDArray[np.float64]
    precision: NDArray[np.float64]
    weighed: NDArray[np.float64]

    def centres(self, account: int | None) -> dict[str, Centre]:
        """Say where an account's coefficients are expected from what all others told."""
        precision, weighed = self.precision, self.weighed
        if account is not None:
            precision = precision - self.within[account]
            weighed = weighed - self.pull[account]
        covariance = np.linalg.inv(precision)
        mean = np.einsum("hij,hj->hi", covariance, weighed)
        unsure = np.einsum("hii->i", covariance) / 2
        widest = np.array([f.spread for f in self.features])
        spread = np.minimum(np.sqrt(self.apart + unsure), widest)
        return {
            f.name: Centre(float(win), float(lose), float(wide))
            for f, win, lose, wide in zip(
                self.features, *np.round(mean, 9), np.round(spread, 9), strict=True
            )
        }


def _coefficients(told: Sequence[Told], start: _Coefficients | None) -> _Coefficients:
    """Find the mean and the spread of the coefficients over accounts."""
    held: dict[str, int] = {}
    features: dict[str, Feature] = {}
    for one in told:
        for feature in one.features:
            held[feature.name] = held.get(feature.name, 0) + 1
            features.setdefault(feature.name, feature)
    kept = tuple(features[name] for name, count in held.items() if count > 1)
    at = {feature.name: number for number, feature in enumerate(kept)}
    size = len(kept)
    likelihood = np.zeros((len(told), 2, size, size))
    weighed = np.zeros((len(told), 2, size))
    for number, one in enumerate(told):
        names = [f.name for f in one.features]
        alone = np.array([name not in at for name in names])
        prior = np.array([[f.win for f in one.features], [f.lose for f in one.features]])
        wide = np.array([f.spread for f in one.features])
        precision, pull = without(one.precision, one.weighed, alone, prior, wide)
        where = np.array([at[name] for name in names if name in at], dtype=np.int64)
        likelihood[number][:, where[:, None], where[None, :]] = precision
        weighed[number][:, where] = pull
    usual = np.array([[f.win for f in kept], [f.lose for f in kept]])
    seen = sum(one.endings.seen for one in told)
    centre = Endings(seen, sum(one.endings.total for one in told)).centre()
    spread = np.array([f.spread for f in kept])
    spread[[f.group == "rebuilt" for f in kept]] *= np.sqrt(max(1.0 - centre, 1e-6))
    expected = (_ALIKE * spread) ** 2
    apart = expected.copy()
    if start is not None:
        before = dict(zip((f.name for f in start.features), start.apart.tolist(), strict=True))
        apart = np.array([before.get(f.name, e) for f, e in zip(kept, expected, strict=True)])
        apart = np.minimum(apart, spread**2)
    for _ in range(_STEPS):
        inverse = np.linalg.inv(likelihood + np.diag(1 / apart))
        reach = likelihood @ inverse
        within = likelihood - reach @ likelihood
        pull = weighed - np.einsum("ahij,ahj->ahi", reach, weighed)
        precision = within.sum(axis=0) + np.diag(spread**-2.0)
        summed = pull.sum(axis=0) + usual / spread**2
        mean = np.linalg.solve(precision, summed[..., None])[..., 0]
        of_each = np.einsum("ahij,ahj->ahi", inverse, weighed + mean / apart)
        squares = ((of_each - mean) ** 2 + np.einsum("ahii->ahi", inverse)).sum(axis=(0, 1))
        apart = (squares + _ALIKE_COUNTS * expected) / (2 * len(told) + _ALIKE_COUNTS)
        apart = np.minimum(apart, spread**2)
    return _Coefficients(kept, apart, within, pull, precision, summed)


@dataclass(frozen=True)
class _Sums:
    """What past months brought, summed over accounts; one entry a month in each array.

    Beside the sums of what was won and expected stand those of squares: of what came otherwise
    than expected, of its variance by chance, of what was expected.
    """

    first: int
    won: NDArray[np.float64]
    expected: NDArray[np.float64]
    apart: NDArray[np.float64]
    chance: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def over(cls, months: Months, first: int, until: int) -> _Sums:
        """Lay an account's months out from a first one to before another."""
        at = months.first - first
        rows = np.zeros((5, until - first))
        part = slice(at, at + len(months.won))
        rows[0, part], rows[1, part] = months.won, months.expected
        rows[2, part] = (months.won - months.expected) ** 2
        rows[3, part] = months.expected * months.scale
        rows[4, part] = months.expected**2
        return cls(first, *rows)

    def plus(self, other: _Sums, sign: float = 1.0) -> _Sums:
        """Add another, or take it away."""
        names = ("won", "expected", "apart", "chance", "squares")
        return _Sums(self.first, *(getattr(self, n) + sign * getattr(other, n) for n in names))

    @property
    def calendar(self) -> NDArray[np.int64]:
        """Each month's number, 0 for January."""
        return (self.first + np.arange(len(self.won))) % 12

    def season(self) -> Season:
        """Learn the season that the accounts share."""
        return season_of(self.won, self.expected, self.calendar, part=1.0 - OWN_SEASON)

    def shock(self, season: Season) -> Shock:
        """Filter the shock that the accounts share; what each has for itself is noise to it."""
        together = (self.won - self.expected) ** 2
        pairs = (self.expected**2 - self.squares).clip(0).sum()
        shared = ((together - self.apart).sum() + _SHOCK_TOLD * _SHARED) / (pairs + _SHOCK_TOLD)
        whole = (self.apart - self.chance).sum() + _SHOCK_TOLD * (_SHARED + _OWN)
        own = whole / (self.squares.sum() + _SHOCK_TOLD) - max(shared, 0.0)
        usual = np.maximum(self.expected, 1e-9)
        scale = self.chance / usual + max(own, _LEAST_OWN) * self.squares / usual
        return filter_shocks(self.won, self.expected * season.factor[self.calendar], scale)


def _experience(told: Sequence[Wins]) -> Experience:
    """Learn when deals are won, and how much accounts differ in how many are."""
    won = np.sum([one.won for one in told], axis=0)
    exposure = np.sum([one.exposure for one in told], axis=0)
    chance = kernel_of(Wins(won, exposure)).chance
    expected = np.array([float(one.exposure @ chance) for one in told])
    came = np.array([float(one.won.sum()) for one in told])
    beyond = float(((came - expected) ** 2 - expected).sum()) + _WINS_TOLD * _WINS_APART**2
    apart = beyond / (float((expected**2).sum()) + _WINS_TOLD)
    wins = 1.0 / float(np.clip(apart, _LEAST_APART, _MOST_APART))
    return Experience(chance, wins / float(chance.sum()), wins)


@dataclass(frozen=True)
class _AsOf:
    """What the accounts of a group told up to a day, so that each can be taken out again."""

    day: int
    accounts: tuple[str, ...]
    told: tuple[Told, ...]
    coefficients: _Coefficients
    sums: _Sums
    kinds: NDArray[np.float64]

    @classmethod
    def of(
        cls, day: int, accounts: Sequence[str], told: Sequence[Told], before: _AsOf | None
    ) -> _AsOf:
        """Pool what was told up to a day."""
        first = min(one.months.first for one in told)
        until = max(one.months.first + len(one.months.won) for one in told)
        sums = _Sums.over(told[0].months, first, until)
        for one in told[1:]:
            sums = sums.plus(_Sums.over(one.months, first, until))
        season = sums.season()
        shared = Known(shock=sums.shock(season), first=first)
        kinds = []
        for one in told:
            months = one.months
            calendar = (months.first + np.arange(len(months.won))) % 12
            usual = months.expected * season.factor[calendar]
            common = shared.common(months.first, len(months.won))
            own = filter_shocks(months.won, usual, months.scale, common=common)
            kinds.append(own.weights)
        coefficients = _coefficients(told, None if before is None else before.coefficients)
        return cls(day, tuple(accounts), tuple(told), coefficients, sums, np.array(kinds))

    def known(self, account: str | None) -> Known:
        """Give what the other accounts of the group told."""
        number = self.accounts.index(account) if account in self.accounts else None
        others = [one for n, one in enumerate(self.told) if n != number]
        if not others:
            return ALONE
        sums, kinds = self.sums, self.kinds
        if number is not None:
            until = sums.first + len(sums.won)
            sums = sums.plus(_Sums.over(self.told[number].months, sums.first, until), -1.0)
            kinds = np.delete(kinds, number, axis=0)
        weights = (kinds.sum(axis=0) + _KINDS_TOLD * USUAL_KINDS) / (len(kinds) + _KINDS_TOLD)
        season = sums.season()
        return Known(
            day=self.day,
            centres=self.coefficients.centres(number),
            taught=sum(one.endings.seen for one in others),
            wins=_experience([one.wins for one in others]),
            season=season,
            kinds=weights,
            shock=sums.shock(season),
            first=sums.first,
        )


class Group:
    """What the accounts of a group told together; made by `pool`.

    Attributes
    ----------
    accounts
        The names of those that taught, sorted.
    """

    def __init__(self, as_of: Sequence[_AsOf], accounts: Sequence[str]) -> None:
        self._as_of, self.accounts = tuple(as_of), tuple(accounts)

    def __repr__(self) -> str:
        """Say how many taught."""
        return f"<Group of {len(self.accounts)} accounts>"

    def prior(self, account: str | None) -> Prior:
        """Give what `fit` starts from for an account: what the others told.

        Parameters
        ----------
        account
            Its name; None, or one that did not teach, is told by all.
        """
        known = tuple(one.known(account) for one in self._as_of)
        return Prior(tuple(one for one in known if one is not ALONE))

    @cached_property
    def _shock(self) -> tuple[int, Shock]:
        """The last month that is over, and the shock that all share after it."""
        sums = self._as_of[-1].sums
        return sums.first + len(sums.won) - 1, sums.shock(sums.season())

    def shared(self, start: date, end: date, *, pooled: bool = True) -> float:
        """Tell how strongly a period is good or bad for all accounts together.

        Parameters
        ----------
        start, end
            The first day of the period, and the day after its last; whole months count.
        pooled
            Whether the accounts are drawn to the same level, and so are wrong about it together.

        Returns
        -------
        The variance of the factor on what may still be won, relative to the square of its mean.
        """
        if len(self.accounts) < 2 or not self._as_of:  # noqa: PLR2004 - one shares with nobody
            return 0.0
        last, shock = self._shock
        ahead = np.arange(last + 1, int(month_of(day_number(end) - 1)) + 1)
        weights = (ahead >= month_of(day_number(start))).astype(np.float64)
        if not weights.any():
            return 0.0
        factors, mass = shock.factors(weights)
        mean = float(factors @ mass)
        variance = float(mass @ (factors - mean) ** 2) / mean**2
        return variance + (self._level if pooled else 0.0)

    @cached_property
    def _level(self) -> float:
        """Relative variance of the level that all are drawn to: that of a count of its wins."""
        won = self._as_of[-1].sums.won
        return 1.0 / (1.0 + float(won @ 0.5 ** (np.arange(len(won))[::-1] / _HALF_LIFE)))


def pool(lessons: Iterable[Lesson], day: date) -> Group:
    """Learn what is usual among the accounts of a group.

    Parameters
    ----------
    lessons
        What each can teach, in any order.
    day
        The day from which the group is looked at, as `lesson` was given it.

    Returns
    -------
    The group, which gives each account what the others told.

    Raises
    ------
    ArgumentError
        If two are of one account.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> sample = ca.load_sample()
    >>> group = pool([ca.projection.lesson(sample, sample.as_of)], sample.as_of)
    >>> model = ca.projection.fit(sample, prior=group.prior("another"))
    >>> bool(model.summary()["learnt"].between(0, 1).all())
    True
    """
    ordered = sorted(lessons, key=lambda one: one.account)
    names = [one.account for one in ordered]
    if twice := [a for a, b in pairwise(names) if a == b]:
        raise ArgumentError(f"two lessons are of the account {twice[0]!r}")
    found: list[_AsOf] = []
    for number, of_day in enumerate(lesson_days(day)):
        told = {one.account: one.told[number] for one in ordered}
        kept = {name: one for name, one in told.items() if one is not None}
        if kept:
            before = found[-1] if found else None
            found.append(_AsOf.of(of_day, list(kept), list(kept.values()), before))
    return Group(found, names)


__all__ = ["Group", "pool"]
