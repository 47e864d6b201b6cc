"""What an assistant may ask of an account: each question a method that answers from `Figures`."""

from __future__ import annotations

import difflib
from dataclasses import replace
from datetime import date
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pandas as pd

from capsule_analytics import calibration
from capsule_analytics._words import currency_name
from capsule_analytics.errors import ArgumentError, HistoryError, MissingExtraError
from capsule_analytics.report import Figures, figures_of, in_currency
from capsule_analytics.schema import TEXT

from ._rows import listed, plain, rows

if TYPE_CHECKING:
    from collections.abc import Iterable

TOOLS = (
    "projection",
    "forecast",
    "changes",
    "deals_needing_attention",
    "deal",
    "win_rates",
    "data_quality",
)
"""The questions, by the names of the methods that answer them."""

_DEAL = (
    *("name", "party", "status", "currency", "tcv", "value", "duration_basis", "duration"),
    *("milestone", "pipeline", "probability", "owner", "team", "expected_close", "closed_at"),
    *("created_at", "last_stage_changed_at", "last_contacted_at", "last_open_milestone"),
    "lost_reason",
)
_CHANCES = ("won_this_month", "won_this_quarter", "won_within_year", "won_ever", "likely_month")
_SEVERITIES = ("error", "warning", "info")
_CANDIDATES = 10
_LEAST = "those with the least expected value"
_STATED = (
    "The ranges of this forecast are what the sums would be if every stated probability and date "
    "were right; what will probably be won is told by the tool projection."
)


class Source(Protocol):
    """Where the figures come from.

    Attributes
    ----------
    words
        What is asked, in words: "the sample account".
    """

    words: str

    def figures(self) -> Figures:
        """Return the figures of the account as it stands."""

    def since(self, day: date) -> Figures:
        """Return figures with the changes since a day in their options, as its snapshot has it."""


class Analyst:
    """Answers questions about an account, each with its day and with how sure it is.

    Every answer is made of what JSON has, and small: at most ``top`` rows, with what was left out.
    It begins with ``account``, ``source``, ``as_of`` (the day from which is looked), ``loaded_at``
    (UTC) and ``how_sure``: ``track_record`` (how projections of past months came true),
    ``evidence`` (what the projection stands on) and ``errors`` (how many data-quality findings make
    a figure wrong or leave it out). Amounts are in the ``currency`` of their row, to the cent;
    currencies are never added together. Chances and rates are 0 to 1.

    Parameters
    ----------
    source
        Where the figures come from. One question is answered at a time.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> class Sample:
    ...     words = "the sample account"
    ...     def figures(self):
    ...         return ca.report.figures_of(ca.load_sample(), ca.report.Options(projection=False))
    >>> answer = Analyst(Sample()).data_quality(top=1)
    >>> answer["as_of"], answer["how_sure"]["errors"]
    ('2026-10-15', 11)
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = RLock()

    def projection(
        self,
        *,
        months: int = 3,
        period: Literal["month", "quarter", "year"] = "month",
        by: Literal["owner", "team", "pipeline", "party", "milestone"] | None = None,
        currency: str | None = None,
        target: float | None = None,
        top: int = 20,
    ) -> dict[str, Any]:
        """Tell what will probably be won in the coming months: this is the forecast to quote.

        Already won, open deals whenever they close, and business that is not yet in the list. The
        range from p10 to p90 is meant to hold four outcomes in five; how_sure says how it did.

        Parameters
        ----------
        months
            How many months ahead, the running one included, 1 to 60.
        period
            Sum by month, quarter or year. Do not add ranges of months: ask for the quarter.
        by
            Split by owner, team, pipeline, party or milestone.
        currency
            Only this currency, as an ISO code.
        target
            An amount in that currency: adds the chance that each row reaches it.
        top
            Rows at most, 1 to 100.
        """
        with self._lock:
            figures = self._source.figures()
            only = _currency(figures, currency)
            if target is not None and only is None:
                raise ArgumentError("a target is an amount in a currency: give currency, too")
            model = figures.projection
            if model is None:
                raise ArgumentError("there is no projection of these deals")
            table = model.by_month(
                months,
                period=period,
                by=by,
                target=target,
                fiscal_year_start=figures.options.fiscal_year_start,
            )
            sentences = [
                one.sentence for one in figures.outlook if only is None or one.currency == only
            ]
            return {
                **self._head(figures, only),
                "in_words": [plain(text) for text in sentences[:_CANDIDATES]],
                **listed(_only(table, only), top, "expected_value", _LEAST),
            }

    def forecast(
        self,
        *,
        period: Literal["month", "quarter", "year"] = "month",
        by: Literal["owner", "milestone", "pipeline", "team", "party"] | None = None,
        currency: str | None = None,
        past: bool = False,
        top: int = 20,
    ) -> dict[str, Any]:
        """Tell the weighted pipeline by expected close: value times stated probability.

        The usual weighted forecast, as the CRM's own figures are made. For what will probably be
        won ask projection.

        Parameters
        ----------
        period
            Sum by month, quarter or year of the close.
        by
            Split by owner, milestone, pipeline, team or party (the customer).
        currency
            Only this currency, as an ISO code.
        past
            Show periods before the running one, too: what was won, and open deals overdue since.
        top
            Rows at most, 1 to 100.
        """
        with self._lock:
            figures = self._source.figures()
            only = _currency(figures, currency)
            options = replace(figures.options, by=(by,) if by else (), period=period, target=None)
            table = figures_of(figures.pipeline, options).forecast
            table = _only(table, only)
            left = 0
            if not past:
                now = pd.Period(figures.pipeline.as_of, freq=table[period].dt.freq)
                coming = (table[period].isna() | (table[period] >= now)).to_numpy(dtype=bool)
                left = int((~coming).sum())
                table = table[coming]
            overdue = _only(figures.standing, only)
            overdue = overdue.loc[overdue["overdue_deals"] > 0]
            return {
                **self._head(figures, only),
                "note": _STATED,
                **listed(table, top, "expected_value", _LEAST),
                "rows_of_past_periods_left_out": left,
                "overdue": rows(overdue[["currency", "overdue_deals", "overdue_value"]]),
            }

    def changes(
        self, *, since: str | None = None, currency: str | None = None, top: int = 10
    ) -> dict[str, Any]:
        """Explain how the open pipeline of an earlier day became today's: new, won, lost, moved.

        Needs a snapshot of that day or before it; the answer says which day it compares with.

        Parameters
        ----------
        since
            The day, YYYY-MM-DD; without one the last snapshot.
        currency
            Only this currency, as an ISO code.
        top
            Deals at most, 1 to 100, those of the largest change.
        """
        with self._lock:
            figures = self._source.figures()
            only = _currency(figures, currency)
            options = figures.options if since is None else self._source.since(_day(since)).options
            if options.before is None or options.changes is None or options.changed_deals is None:
                raise HistoryError(
                    "there is no earlier snapshot to compare with; capsule-snapshot records them"
                )
            bridge = _only(options.changes, only)
            happened = (bridge["deals"] > 0) | bridge["part"].isin(["opening", "closing"])
            deals = _only(options.changed_deals, only)
            return {
                **self._head(figures, only),
                "compared_with": options.before.as_of.isoformat(),
                "bridge": rows(bridge[happened.to_numpy(dtype=bool)]),
                "deals": listed(deals, top, "value", "those that changed the least"),
            }

    def deals_needing_attention(
        self, *, owner: str | None = None, currency: str | None = None, top: int = 10
    ) -> dict[str, Any]:
        """List the open deals that need someone, most at stake first, each with its reasons.

        Overdue, stale, pushed twice or more, or large and neglected or with a falling probability.
        The stake is the value times the chance of being won within a year. Urgency "first" marks
        the few of each currency that hold half of what is at stake.

        Parameters
        ----------
        owner
            Only deals of this owner.
        currency
            Only this currency, as an ISO code.
        top
            Deals at most, 1 to 100.
        """
        with self._lock:
            figures = self._source.figures()
            only = _currency(figures, currency)
            table = _of_owner(figures, _only(figures.needs, only), owner)
            needed = (table["urgency"] != "note").to_numpy(dtype=bool)
            return {
                **self._head(figures, only),
                "only_worth_knowing": int((~needed).sum()),
                **listed(table[needed], top, "stake", "those with the least at stake"),
            }

    def deal(self, *, deal_id: int | None = None, name: str | None = None) -> dict[str, Any]:
        """Tell all that is known of one deal: its state, its chances and why, what is wrong.

        Parameters
        ----------
        deal_id
            Its id in Capsule.
        name
            Its name, or a part of it; where several deals have it they are listed to choose from.
        """
        with self._lock:
            figures = self._source.figures()
            frame = figures.pipeline.opportunities
            found = _meant(frame, deal_id, name)
            if len(found) > 1:
                table = frame.loc[found, ["name", "party", "owner", "status", "currency", "tcv"]]
                return {
                    **self._head(figures, None),
                    "candidates": listed(
                        table.reset_index(), _CANDIDATES, "tcv", "those of the least value"
                    ),
                }
            number = found[0]
            row = rows(frame.loc[[number], list(_DEAL)])[0]
            return {
                **self._head(figures, row["currency"]),
                "deal": {"id": number, **row},
                **_of_deal(figures, number),
            }

    def win_rates(
        self,
        *,
        by: list[str] | None = None,
        every: bool = False,
        top: int = 20,
    ) -> dict[str, Any]:
        """Give the share of ended deals that were won, by one key or several.

        raw_rate is won / deals; deals lost for a reason that the account leaves out of conversion
        do not count, while rate_of_all has them. rate is shrunk towards the account's rate, with
        the 80 % interval low to high; small_sample marks fewer than 5 deals.

        Parameters
        ----------
        by
            Any of owner, team, pipeline, currency, milestone (the last open one), value_band,
            age_band, month, quarter, year (of the close); owner if nothing is given.
        every
            Count every lost deal, whatever the reason.
        top
            Rows at most, 1 to 100, those of the most deals.
        """
        with self._lock:
            figures = self._source.figures()
            ended = figures.ended
            if ended.empty:
                raise ArgumentError("no deal has ended yet, so there is no win rate")
            table = calibration.win_rates(
                ended,
                ["owner"] if by is None else by,
                conversion=not every,
                fiscal_year_start=figures.options.fiscal_year_start,
            )
            return {
                **self._head(figures, None),
                "all": {
                    "deals": table.attrs["deals"],
                    "won": int(ended["won"].sum()),
                    "left_out": table.attrs["left_out"],
                },
                **listed(table, top, "deals", "those of the fewest deals"),
            }

    def data_quality(
        self,
        *,
        severity: Literal["error", "warning", "info"] | None = None,
        owner: str | None = None,
        top: int = 10,
    ) -> dict[str, Any]:
        """Tell what is wrong with the data, and who has to mend it.

        An error leaves a figure out or makes it wrong, a warning may, an info tells what was filled
        in.

        Parameters
        ----------
        severity
            Only findings of this severity.
        owner
            Only findings about deals of this owner.
        top
            Findings at most, 1 to 100, the severest first.
        """
        with self._lock:
            figures = self._source.figures()
            if severity is not None and severity not in _SEVERITIES:
                raise ArgumentError(
                    f"severity must be one of {', '.join(_SEVERITIES)}, not {severity!r}"
                )
            issues = figures.pipeline.issues
            about = figures.pipeline.opportunities[["name", "owner"]].astype(TEXT)
            about = about.reindex(issues["opportunity_id"])
            table = issues.assign(name=about["name"].array, owner=about["owner"].array)
            table = _of_owner(figures, table, owner)
            if severity is not None:
                table = table[(table["severity"] == severity).to_numpy(dtype=bool)]
            place = table["severity"].map(_SEVERITIES.index)
            table = table.loc[place.sort_values(kind="stable").index]
            checks = table.groupby(["severity", "check"], sort=False).size().rename("findings")
            names = {name: figures.severities.get(name, 0) for name in _SEVERITIES}
            return {
                **self._head(figures, None),
                "findings_of_the_account": names,
                "checks": rows(checks.reset_index()),
                **listed(table, top, None, "the less severe"),
            }

    def _head(self, figures: Figures, currency: str | None) -> dict[str, Any]:
        """Say what every answer begins with: which account, of when, and how sure."""
        pipeline = figures.pipeline
        return {
            "account": plain(pipeline.account),
            "source": plain(self._source.words),
            "as_of": pipeline.as_of.isoformat(),
            "loaded_at": f"{pipeline.loaded_at:%Y-%m-%dT%H:%M:%SZ}",
            "how_sure": {
                **_certainty(figures, currency),
                "errors": figures.severities.get("error", 0),
            },
        }


def _certainty(figures: Figures, currency: str | None) -> dict[str, Any]:
    """Say how past projections came true, in the currency asked about or else the main one."""
    try:
        model = figures.projection
    except MissingExtraError as error:
        return {"track_record": None, "evidence": f"no projection: {plain(error)}"}
    if model is None:
        return {"track_record": None, "evidence": "no projection was asked for"}
    told = [one for one in figures.outlook if currency is None or one.currency == currency]
    record = f"{told[0].name}: {told[0].track}" if told else "too few months to tell"
    return {"track_record": plain(record), "evidence": plain(model.basis)}


def _of_deal(figures: Figures, deal_id: int) -> dict[str, Any]:
    """Tell of one deal what tables of others have, too: chances, needs, findings, the link."""
    told: dict[str, Any] = {}
    chances = figures.projected_deals
    if chances is not None:
        mine = rows(chances[(chances["id"] == deal_id).to_numpy(dtype=bool)])
        if mine:
            told["chances"] = {name: mine[0][name] for name in _CHANCES}
            told["what_moves_its_odds"] = mine[0]["reasons"]
    needs = figures.needs
    needs = rows(needs.loc[(needs["id"] == deal_id).to_numpy(dtype=bool), ["reason"]])
    told["needs_attention"] = needs[0]["reason"] if needs else None
    issues = figures.pipeline.issues
    mine = issues["opportunity_id"].eq(deal_id).fillna(value=False).to_numpy(dtype=bool)
    told["findings"] = rows(issues.loc[mine, ["check", "severity", "detail"]])
    web = figures.options.web
    told["link"] = f"{web}/opportunity/{deal_id}" if web else None
    return told


def _meant(frame: pd.DataFrame, deal_id: int | None, name: str | None) -> list[int]:
    """Find the deal of an id; or those of just this name, else those that have it in theirs."""
    if (deal_id is None) == (name is None):
        raise ArgumentError("give either deal_id or name")
    if name is None:
        if deal_id is None or deal_id not in frame.index:
            raise ArgumentError(f"there is no deal {deal_id} among those that were loaded")
        return [deal_id]
    wanted = name.strip().casefold()
    names = frame["name"].astype(TEXT).fillna("").str.casefold()
    for found in (names == wanted, names.str.contains(wanted, regex=False)):
        if wanted and found.any():
            return [int(one) for one in frame.index[found.to_numpy(dtype=bool)]]
    raise ArgumentError(f"there is no deal with {name!r} in its name")


def _only(table: pd.DataFrame, currency: str | None) -> pd.DataFrame:
    return table if currency is None else in_currency(table, currency)


def _currency(figures: Figures, currency: str | None) -> str | None:
    """Take a currency that the account has deals in."""
    known = figures.standing["currency"].dropna().astype(str).tolist()
    if currency is None or (wanted := currency.strip().upper()) in known:
        return None if currency is None else wanted
    held = ", ".join(map(currency_name, known)) or "none"
    raise ArgumentError(f"no open or won deal is in {currency!r}; there are {held}")


def _of_owner(figures: Figures, table: pd.DataFrame, owner: str | None) -> pd.DataFrame:
    """Keep the rows of an owner whom the account knows."""
    if owner is None:
        return table
    known = figures.pipeline.opportunities["owner"].dropna().astype(str).unique()
    name = _closest(owner, known)
    return table[table["owner"].eq(name).fillna(value=False).to_numpy(dtype=bool)]


def _closest(owner: str, known: Iterable[str]) -> str:
    """Return the owner of that name, in whatever case; else say who has one like it."""
    names = {name.casefold(): name for name in known}
    if found := names.get(owner.strip().casefold()):
        return found
    near = difflib.get_close_matches(owner.strip().casefold(), sorted(names), n=3, cutoff=0.0)
    like = ", ".join(names[one] for one in near) or "nobody"
    raise ArgumentError(f"no deal has the owner {owner!r}; names like it: {like}")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentError(f"since: {text!r} is no day of the form YYYY-MM-DD") from error
