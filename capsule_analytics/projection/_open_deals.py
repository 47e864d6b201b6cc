r"""When open deals are won or lost: discrete-time competing risks, given what was known on a day.

In each month ahead a deal that is still open is won, lost or neither, with odds

.. math:: \log\frac{P(\text{way } w)}{P(\text{neither})} = \log s + x^\top \beta_w + b_w

where ``s`` is the share of the month that is still to come, ``x`` are the features of
`_features`, and ``b`` is the month's common shock (for winning alone). The rows are landmarks: a
sighting and a month ahead, so that the coefficients answer "given what was known then". They are
found by penalised likelihood (the posterior mode under the features' priors), and their spread by
a sandwich in which all rows of a deal are one observation.

Sources: Meir & Gorfine, discrete-time competing-risks regression (PyDTS, arXiv:2303.01186);
van Houwelingen & Putter, landmark "super models" (Lifetime Data Analysis 14, 2008); Laplace
approximation and sandwich: Gelman et al., Bayesian Data Analysis, ch. 4; Huber 1967.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._evidence import OPEN, WON, History, Sightings, month_of
from ._features import Design, interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

MONTHS_AHEAD = 12
"""How many months ahead hazards are learnt; later ones are taken to be like the last."""
# A month of a deal's life is seen from several months before; together they count about twice.
_WEIGHTS = (1.0, 0.6, 0.45, 0.3, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)
_MOST_ROWS = 30_000
_HALF_LIFE = 24.0
_STEPS = 30
_SHORTEST = 1e-4
_SEEN_ENDINGS = 20.0
_BLOCK = 32
_AT_A_TIME = 16
_CENTRING = 8
_ENOUGH, _ROUGHLY = 1e-10, 1e-5


@dataclass(frozen=True)
class Rows:
    """Evidence: a sighting and a month ahead that is over; one entry a row in each array.

    Attributes
    ----------
    which
        Position of the sighting.
    ahead
        The month ahead, 0 the one in which the next day lies.
    month
        The calendar month.
    end
        The day after the month's last.
    way
        0 still open, 1 won, 2 lost or gone.
    weight
        How much the row counts, before it fades with time.
    share
        Share of the month that lies after the sighting's day.
    """

    which: NDArray[np.int64]
    ahead: NDArray[np.int64]
    month: NDArray[np.int64]
    end: NDArray[np.int64]
    way: NDArray[np.int64]
    weight: NDArray[np.float64]
    share: NDArray[np.float64]

    def where(self, keep: NDArray[np.bool_]) -> Rows:
        """Keep some of the rows."""
        return Rows(**{name: array[keep] for name, array in vars(self).items()})


@dataclass(frozen=True)
class Endings:
    """How many deals' endings hazards stand on; older ones count less.

    Attributes
    ----------
    seen
        Those that a snapshot shows the month before.
    total
        All of them.
    """

    seen: float
    total: float

    def centre(self, taught: float = 0.0) -> float:
        """Give how far the effects that only snapshots tell are held to an average of none.

        A level that was learnt together with what was seen must not be moved by it again.
        """
        seen = self.seen + taught
        apart = 1.0 - seen / (self.total + taught + _SEEN_ENDINGS)
        return apart / (1.0 + seen / _SEEN_ENDINGS)


@dataclass(frozen=True)
class Hazards:
    """Fitted odds of winning and losing.

    Attributes
    ----------
    design
        The features.
    coef
        Log odds ratios, shape (2, features): winning, losing.
    covariance
        Of the flattened coefficients.
    centre
        Whether what only snapshots tell is held to an average effect of none, 0 to 1: where
        nothing was learnt of it, priors may tell deals apart but not move them all.
    curvature
        Second derivative of the penalised likelihood, of the flattened coefficients.
    endings
        What they stand on.
    """

    design: Design
    coef: NDArray[np.float64]
    covariance: NDArray[np.float64]
    centre: float
    curvature: NDArray[np.float64]
    endings: Endings


def rows_of(history: History) -> Rows:
    """List the rows of evidence of a history: what became of each sighting in each month ahead."""
    at, deals = history.sightings, history.deals
    parts: list[list[NDArray[Any]]] = []
    most = len(at)
    for ahead in range(MONTHS_AHEAD):
        which = np.arange(len(at))
        start, end, share = interval(at.day, np.full(len(at), ahead))
        over = end <= history.today + 1
        gone = deals.end[at.deal]
        # An ending dated before the sighting shows in its first month, and wins nothing later.
        risk = over & ((gone >= start) | (ahead == 0))
        every = max(1, -(-most * MONTHS_AHEAD // (2 * _MOST_ROWS))) if ahead else 1
        risk &= (at.deal + ahead + month_of(at.day + 1)) % every == 0
        kind = deals.kind[at.deal]
        way = np.where((gone < end) & (kind != OPEN), np.where(kind == WON, 1, 2), 0)
        way[gone < start] = 2
        keep = which[risk]
        parts.append(
            [
                keep,
                np.full(len(keep), ahead),
                month_of(at.day[keep] + 1) + ahead,
                end[keep],
                way[keep],
                np.full(len(keep), _WEIGHTS[ahead] * every),
                share[keep],
            ]
        )
    names = ("which", "ahead", "month", "end", "way", "weight", "share")
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Rows(**dict(zip(names, columns, strict=True)))


def fit_hazards(
    design: Design,
    at: Sightings,
    rows: Rows,
    matrix: NDArray[np.float64],
    *,
    today: int,
    offset: NDArray[np.float64],
    start: Hazards | None = None,
    spread: bool = True,
    exact: bool = True,
) -> Hazards:
    """Find the coefficients that the evidence up to a day supports.

    Parameters
    ----------
    design, at, rows, matrix
        The evidence, all of it over by `today`.
    today
        The day from which older months fade.
    offset
        What is known of each row's month, shock and season, added to the log odds of winning.
    start
        A fit of nearby evidence to start from.
    spread
        Whether the covariance is needed.
    exact
        Whether every digit counts, or it is a step on the way.
    """
    size = len(design.features)
    prior = np.array([[f.win for f in design.features], [f.lose for f in design.features]]).ravel()
    ago = month_of(today + 1) - 1 - rows.month
    weight = rows.weight * 0.5 ** (np.maximum(ago, 0) / _HALF_LIFE)
    ended = weight * ((rows.ahead == 0) & (rows.way > 0))
    endings = Endings(float(ended[at.seen[rows.which]].sum()), float(ended.sum()))
    centre = endings.centre(design.taught)
    variance = spread_of(design, centre) ** 2
    ways = np.column_stack([rows.way == 1, rows.way == 2]).astype(np.float64)  # noqa: PLR2004
    share = np.log(rows.share)
    target = _Target(
        matrix=_blocks(matrix),
        weight=_blocks(weight[:, None]),
        ways=_blocks(ways),
        known=_blocks(np.column_stack([share + offset, share])),
        prior=prior,
        precision=np.tile(1.0 / variance, 2),
    )
    beta = prior if start is None else start.coef.ravel()
    bend = None if start is None else start.curvature
    beta, chances, bend = target.minimised(beta, bend, exact=exact)
    # The last digits of solved equations depend on how many processors there are.
    beta = np.round(beta, 7)
    covariance = np.zeros((0, 0))
    if spread:
        bend = target.curvature(chances)
        residuals = (target.weight * (target.ways - chances)).reshape(-1, 2)[: len(weight)]
        covariance = _sandwich(bend, target.precision, matrix, residuals, at.deal[rows.which])
    return Hazards(design, beta.reshape(2, size), covariance, centre, bend, endings)


def spread_of(design: Design, centre: float) -> NDArray[np.float64]:
    """Give how far each coefficient may lie from its prior.

    Where nothing was seen, what was rebuilt is all that is known of what is seen today.
    """
    spread = np.array([f.spread for f in design.features])
    spread[[f.group == "rebuilt" for f in design.features]] *= np.sqrt(max(1.0 - centre, 1e-6))
    return spread


@dataclass(frozen=True)
class _Target:
    """The penalised likelihood, as a function of the flattened coefficients.

    Rows come in blocks: products of them are too small for threads, which would make the digits
    depend on how many there are, and cost more than they gain.
    """

    matrix: NDArray[np.float64]
    weight: NDArray[np.float64]
    ways: NDArray[np.float64]
    known: NDArray[np.float64]
    prior: NDArray[np.float64]
    precision: NDArray[np.float64]

    def at(self, beta: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Give the chances of both ways out of every row, and the negative log posterior."""
        eta = self.matrix @ beta.reshape(2, -1).T + self.known
        total = np.logaddexp(np.logaddexp(0.0, eta[..., :1]), eta[..., 1:])
        missed = total - (self.ways * eta).sum(axis=2, keepdims=True)
        loss = float((self.weight * missed).sum())
        loss += 0.5 * float((self.precision * (beta - self.prior) ** 2).sum())
        return np.exp(eta - total), loss

    def slope(self, beta: NDArray[np.float64], chances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the first derivative."""
        missed = self.matrix.transpose(0, 2, 1) @ (self.weight * (chances - self.ways))
        return np.asarray(missed.sum(axis=0).T.ravel() + self.precision * (beta - self.prior))

    def curvature(self, chances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the second derivative."""
        size = self.matrix.shape[2]
        won, lost = chances[..., :1], chances[..., 1:]
        each = self.weight * won * (1 - won), self.weight * lost * (1 - lost)
        bend = np.empty((2 * size, 2 * size))
        bend[:size, :size], bend[size:, size:], cross = _products(
            self.matrix, *each, -self.weight * won * lost
        )
        bend[:size, size:], bend[size:, :size] = cross, cross.T
        bend[np.diag_indices(2 * size)] += self.precision
        return bend

    def minimised(
        self, beta: NDArray[np.float64], bend: NDArray[np.float64] | None, *, exact: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Find the minimum by Newton's steps, halved where they overshoot.

        A fit of nearby evidence bends nearly alike: its curvature serves until steps stop paying.
        """
        chances, loss = self.at(beta)
        fresh = bend is None
        bend = self.curvature(chances) if bend is None else bend
        for _ in range(_STEPS):
            slope = self.slope(beta, chances)
            step = np.linalg.solve(bend, slope)
            hoped, length = 0.5 * float(slope @ step), 1.0
            found = self.at(beta - step)
            while found[1] > loss and length > _SHORTEST:
                length /= 2
                found = self.at(beta - length * step)
            gained = loss - found[1]
            if gained >= 0:
                beta, (chances, loss) = beta - length * step, found
            enough = (_ENOUGH if exact else _ROUGHLY) * (1 + abs(loss))
            if max(hoped, gained) < enough or (gained < 0 and fresh):
                break
            fresh = gained < 0.5 * hoped or (exact and hoped < 1.0)
            if fresh:
                bend = self.curvature(chances)
        return beta, chances, bend


def _blocks(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut rows into blocks, the last filled up with zeros, shape (blocks, rows of one, ...)."""
    lack = -len(rows) % _BLOCK
    return np.pad(rows, ((0, lack), (0, 0))).reshape(-1, _BLOCK, rows.shape[1])


def _products(matrix: NDArray[np.float64], *weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give a matrix' products with itself under several weights, all of them in blocks.

    A few blocks at a time, as each gives a whole product of its own.
    """
    size = matrix.shape[2]
    total = np.zeros((len(weights), size, size))
    for first in range(0, len(matrix), _AT_A_TIME):
        part = matrix[first : first + _AT_A_TIME]
        for number, weight in enumerate(weights):
            weighed = part * weight[first : first + _AT_A_TIME]
            total[number] += (part.transpose(0, 2, 1) @ weighed).sum(axis=0)
    return total


def _sandwich(
    hessian: NDArray[np.float64],
    precision: NDArray[np.float64],
    matrix: NDArray[np.float64],
    residuals: NDArray[np.float64],
    deal: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Give the covariance with every deal as one observation; the prior is one more."""
    inverse = np.asarray(np.linalg.inv(hessian), dtype=np.float64)
    if not len(deal):
        return inverse
    order = np.argsort(deal, kind="stable")
    starts = np.flatnonzero(np.diff(deal[order], prepend=-1))
    scores = np.concatenate(
        [
            np.add.reduceat(matrix[order] * residuals[order, head][:, None], starts, axis=0)
            for head in (0, 1)
        ],
        axis=1,
    )
    scores = _blocks(scores)
    (middle,) = _products(scores, np.ones((len(scores), 1, 1)))
    middle[np.diag_indices(len(precision))] += precision
    return np.asarray(inverse @ middle @ inverse)


@dataclass(frozen=True)
class Outlook:
    """What becomes of open deals in months ahead; one row a deal.

    Attributes
    ----------
    won, lost
        Chance that it is won or lost in each month ahead, shape (deals, months).
    left
        Chance that it is still open after the last, shape (deals,).
    slope
        Derivative of each month's log odds of winning, shape (deals, months, features).
    """

    won: NDArray[np.float64]
    lost: NDArray[np.float64]
    left: NDArray[np.float64]
    slope: NDArray[np.float64]


def outlook(
    hazards: Hazards, at: Sightings, months: int, season: NDArray[np.float64] | None = None
) -> Outlook:
    """Project sightings into months ahead, without shocks; the season is each month's factor."""
    size, count = len(hazards.design.features), len(at)
    design = hazards.design
    which = np.repeat(np.arange(count), months)
    ahead = np.tile(np.arange(months), count)
    matrix = design.rows(at, design.fixed(at), which, ahead) if count else np.zeros((0, size))
    _, _, share = interval(at.day[which], ahead)
    eta = np.einsum("rp,hp->rh", matrix, hazards.coef) + np.log(share)[:, None]
    eta = eta.reshape(count, months, 2)
    if season is not None:
        eta[..., 0] += np.log(season).reshape(1, -1)
    slope = matrix.reshape(count, months, size)
    if hazards.centre and count:
        _centre(hazards, eta, slope)
    total = np.logaddexp(np.logaddexp(0.0, eta[..., 0]), eta[..., 1])
    p_won, p_lost = np.exp(eta[..., 0] - total), np.exp(eta[..., 1] - total)
    stays = np.cumprod(1 - p_won - p_lost, axis=1)
    alive = np.concatenate([np.ones((count, 1)), stays[:, :-1]], axis=1)
    return Outlook(
        won=alive * p_won,
        lost=alive * p_lost,
        left=stays[:, -1] if months else np.ones(count),
        slope=slope,
    )


def _centre(hazards: Hazards, eta: NDArray[np.float64], slope: NDArray[np.float64]) -> None:
    """Hold what only snapshots tell to an average effect of none, as far as nothing was learnt.

    Month by month over the deals that are left by then: as many of the list are won and lost as
    the account's past would have it. It is chances that are held, not odds: the more the deals
    are told apart, the less the sum of the same odds wins.
    """
    told = np.array([f.seen for f in hazards.design.features])
    extra = slope[:, :, told] @ hazards.coef[:, told].T
    alive = np.ones(len(eta))
    for month in range(eta.shape[1]):
        usual = alive @ _chances(eta[:, month] - extra[:, month])
        shift = np.zeros(2)
        for _ in range(_CENTRING):
            shift += np.log(alive @ _chances(eta[:, month] - shift) / usual)
        eta[:, month] -= hazards.centre * shift
        chances = _chances(eta[:, month])
        share = alive * chances[:, 0] * (1 - chances[:, 0])
        share /= share.sum()
        slope[:, month, told] -= hazards.centre * (share @ slope[:, month, told])
        alive = alive * (1 - chances.sum(axis=1))


def _chances(eta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn log odds of both ways out into chances, shape (deals, 2)."""
    odds = np.exp(eta)
    return np.asarray(odds / (1 + odds.sum(axis=1, keepdims=True)))


__all__ = [
    "MONTHS_AHEAD",
    "Endings",
    "Hazards",
    "Outlook",
    "Rows",
    "fit_hazards",
    "outlook",
    "rows_of",
    "spread_of",
]
