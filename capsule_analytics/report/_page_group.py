"""What the page of a group shows by account: its tables, and the figures of each account as JSON.

The page shows the group; its script puts the figures of the account that is chosen into the same
tables and charts. They are computed here, so that the script adds nothing up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capsule_analytics._words import (
    NO_CURRENCY,
    counted,
    currency_name,
    period_text,
    round_cents,
)

from ._page_charts import PAST_MONTHS, code, recent
from ._page_data import written
from ._page_tables import (
    NONE,
    WIN_RATE,
    Column,
    Table,
    ahead,
    amount,
    by_size,
    forecast_table,
    plain_table,
    quality_table,
    shown,
    to_mend,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._group import GroupFigures
    from ._page_tables import Kind

_ACCOUNTS = 2_000
"""Rows of the table of accounts; all are in its CSV file, and in the list to choose from."""
_NAMED = 5
_UNDATED = "undated"
_SLOTS: dict[str, Kind] = {
    "key": "text",
    "won_value": "money",
    "open_value": "money",
    "new_value": "money",
    "expected_value": "money",
    "p10": "money",
    "p90": "money",
}
_TILES = (
    *("open_deals", "open_value", "weighted_value", "overdue_deals", "overdue_value"),
    *("won_value", "expected_value", "p10", "p90"),
    *("month_won_value", "month_expected_value", "month_p10", "month_p90"),
    *("projected_value", "projected_p10", "projected_p90"),
    *("month_projected_value", "month_projected_p10", "month_projected_p90"),
)


@dataclass(frozen=True)
class Part:
    """A table of the group, and the frame of its accounts that takes its place for one of them."""

    table: Table | None
    frame: pd.DataFrame | None = None


def group_parts(group: GroupFigures) -> list[Part]:
    """Lay out the tables of the page, in its order."""
    order = [head.currency for head in group.headlines]
    rates, quarters = group.win_rates_by_account, group.win_rates_by_quarter
    win: dict[str, Any] = {"note": WIN_RATE, "labels": {"rate": "Drawn to the group's"}}
    by_quarter = group.win_rates_by_account_and_quarter
    reasons, their = (
        frame.assign(counts=np.where(frame["counts"], "counts", "left out"))
        for frame in (group.lost_reasons, group.lost_reasons_by_account)
    )
    bridge = group.changes_by_account
    moved = None if bridge is None else bridge[(bridge["deals"] > 0).to_numpy(dtype=bool)]
    parts = [
        Part(account_table(group, order)),
        Part(None if group.changes is None else bridge_table(group.changes), _named(moved)),
        Part(
            forecast_table(
                group.forecast_total, group.options, lists_deals=False, file="forecast_total.csv"
            ),
            group.forecast_by_account,
        ),
        Part(milestone_table(group.milestones), group.milestones_by_account),
        Part(
            plain_table(
                "win_rates_by_account", "Win rate by account", _most(rates), order, rows=100,
                file="win_rates.csv", **win,
            ),
            rates,
        ),
        Part(
            plain_table(
                "win_rates_by_quarter", "Win rate by quarter",
                None if quarters is None else quarters.iloc[::-1], order, **win,
            ),
            None if by_quarter is None else by_quarter.iloc[::-1],
        ),
        Part(
            plain_table("lost_reasons", "Why deals were lost", reasons, order, chooses=False), their
        ),
        Part(
            quality_table(
                group.quality_by_account, "account", note=_QUALITY, file="data_quality.csv"
            ),
            to_mend(group.quality_by_account, "account"),
        ),
        Part(exception_table(group.exceptions)),
    ]  # fmt: skip
    return [part for part in parts if part.table is not None]


_QUALITY = (
    "As far as the exported deals tell; unknown milestones and what could not be read are in the "
    "report of the account itself."
)


def _most(rates: pd.DataFrame | None) -> pd.DataFrame | None:
    """Put the accounts with the most ended deals first."""
    return None if rates is None else rates.sort_values("deals", ascending=False, kind="stable")


def _named(bridge: pd.DataFrame | None) -> pd.DataFrame | None:
    """Write the parts of a bridge as they are read."""
    if bridge is None:
        return None
    part = bridge["part"].astype(object)
    return bridge.assign(key=part, part=part.str.replace("_", " "))


def group_cautions(group: GroupFigures) -> list[str]:
    """Say what must be known before any figure: who is missing, and what is not added up."""
    told = []
    for table, figures in (
        (group.unread, "in no figure"),
        (group.unprojected, "in the past months and the other figures, but not in the projection"),
    ):
        missing = table["account"].unique()
        if len(missing):
            few = ", ".join(name or NONE for name in missing[:_NAMED])
            more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
            are = "is" if len(missing) == 1 else "are"
            told.append(f"{counted(len(missing), 'account')} {are} {figures}: {few}{more}.")
    if group.home is None:
        if len(group.headlines) > 1:
            told.append(
                "No home currency was given: each currency has its own figures, and none are "
                "added together."
            )
        return told
    home = (group.home, None)
    other = [head.name for head in group.headlines if head.currency not in home]
    if other:
        stand = "stands" if len(other) == 1 else "stand"
        told.append(
            f"There is no exchange rate to {group.home} for some amounts: "
            f"{', '.join(other[:_NAMED])} {stand} beside it, in no total."
        )
    return told


def account_table(group: GroupFigures, order: Sequence[str | None]) -> Table:
    """Show what each account will probably win this quarter, has won, and holds open."""
    projected = bool(group.outlook_by_account)
    rows = by_size(group.accounts, "projected_value" if projected else "open_value", order)
    quarter = period_text(group.quarter)
    since = ""
    if group.changes is not None:
        day = group.changes.attrs["before"].replace("-", "\N{NON-BREAKING HYPHEN}")
        since = f"Open, change since {day}"
    columns = [
        Column("account", "Account", chooses="account"),
        *([Column("currency", "Currency", "currency")] if len(order) > 1 else []),
        *_projected_columns(group),
        Column("won_value", f"Won in {quarter}", "money"),
        *([] if projected else [Column("expected_value", f"Expected in {quarter}", "money")]),
        Column("open_deals", "Open deals", "count"),
        Column("open_value", "Open", "money", bar=not projected),
        Column("weighted_value", "Weighted", "money"),
        Column("overdue_value", "Overdue", "money"),
        *([Column("changed_value", since, "money")] if since else []),
        *([Column("day", "Snapshot", "day")] if len(set(group.view.days.values())) > 1 else []),
    ]
    note = (
        "P10 and P90 of the accounts do not add up to the group's: good and bad luck partly "
        "cancel out."
        if projected
        else "Expected is won, and open deals weighted by their probability."
    )
    return shown(
        "accounts", "By account", rows, columns, note=note, file="accounts.csv", rows=_ACCOUNTS
    )


def _projected_columns(group: GroupFigures) -> list[Column]:
    """Show what will probably be won in the quarter that the projection looks at first."""
    one = next(iter(group.outlook_by_account.values()), None)
    if one is None:
        return []
    return [
        Column("projected_value", f"Projected for {one.quarter.name}", "money", bar=True),
        Column("projected_p10", "P10", "money"),
        Column("projected_p90", "P90", "money"),
    ]


def bridge_table(bridge: pd.DataFrame) -> Table:
    """Show the parts of the bridge."""
    columns = [
        Column("part", "Change"),
        Column("currency", "Currency", "currency"),
        Column("deals", "Deals", "count"),
        Column("value", "Value", "money"),
    ]
    moved = _named(bridge[(bridge["deals"] > 0).to_numpy(dtype=bool)])
    assert moved is not None  # noqa: S101 - the bridge is given
    title = f"Changes from {bridge.attrs['before']} to {bridge.attrs['after']}"
    return shown("changes", title, moved, columns, file="changes_total.csv")


def milestone_table(milestones: pd.DataFrame) -> Table:
    """Show the open deals at each milestone."""
    columns = [
        Column("milestone", "Milestone"),
        Column("currency", "Currency", "currency"),
        Column("open_deals", "Open deals", "count"),
        Column("open_value", "Open", "money", bar=True),
        Column("weighted_value", "Weighted", "money"),
        Column("overdue_deals", "Overdue deals", "count"),
    ]
    note = "In order of probability; milestones of one name are one, whatever account they are of."
    return shown("milestones", "Open deals by milestone", milestones, columns, note=note)


def exception_table(exceptions: pd.DataFrame) -> Table | None:
    """List the accounts that a reader must know of."""
    if exceptions.empty:
        return None
    columns = [
        Column("account", "Account", chooses="account"),
        Column("day", "Snapshot"),
        Column("problem", "What to know"),
    ]
    title = "Accounts to look at"
    file = "left_out.csv" if exceptions["problem"].str.startswith("in no").any() else ""
    return shown("exceptions", title, exceptions, columns, file=file)


def accounts_json(group: GroupFigures, parts: Sequence[Part]) -> str:
    r"""Write the figures of each account for the script of the page.

    Parameters
    ----------
    group
        The figures.
    parts
        As `group_parts` gives them.

    Returns
    -------
    JSON that may stand in a ``script`` element. ``names`` lists the accounts; of each table ``at``
    tells where the rows of each of them begin, ``columns`` has its columns: amounts in cents,
    shares in percent, texts as numbers that point into ``texts``.
    """
    names = sorted({*group.view.days, *group.exceptions["account"], *group.accounts["account"]})
    currencies = [head.name for head in group.headlines]
    head = next(iter(group.headlines), None)
    tables = {
        part.table.key: _rows(_plain(part.frame, part.table), names, _kinds(part.table))
        for part in parts
        if part.table is not None and part.frame is not None
    }
    money: dict[str, Kind] = {
        name: "count" if name.endswith("deals") else "money" for name in _TILES
    }
    tables["accounts"] = _rows(group.accounts, names, money)
    earned, period = recent(group.revenue_by_account)
    earned = earned.assign(key=earned[period].map(code))
    keyed: dict[str, Kind] = {"key": "text", "won_value": "money", "weighted_value": "money"}
    tables["revenue"] = _rows(earned, names, keyed)
    if group.projected_by_account is not None:
        tables["projection"] = _rows(_coming(group), names, _SLOTS)
    outlooks = group.outlook_by_account
    if outlooks:
        said = pd.DataFrame(
            [(account, one.currency, one.sentence) for (account, _), one in outlooks.items()],
            columns=["account", "currency", "sentence"],
        )
        tables["outlook"] = _rows(said, names, {"sentence": "text"})
    first = next(iter(outlooks.values()), None)
    problems = group.exceptions.groupby("account", sort=False)["problem"].agg("; ".join).to_dict()
    return written(
        {
            "names": {"month": head.month.name, "quarter": head.quarter.name} if head else {},
            "projected": {"month": first.month.name, "quarter": first.quarter.name}
            if first
            else {},
            "none": NONE,
            "symbols": {name: amount(0.0, name)[:-1] for name in currencies} | {NO_CURRENCY: ""},
            "accounts": names,
            "problems": [problems.get(name, "") for name in names],
            "tables": tables,
        }
    )


def _coming(group: GroupFigures) -> pd.DataFrame:
    """Give the columns of each account's chart: what past months brought, and the coming will."""
    coming = group.projected_by_account
    assert coming is not None  # noqa: S101 - asked for with a projection alone
    first = coming["month"].min()
    won = group.months_by_account[["month", "account", "currency", "won_value"]]
    past = (won["month"] >= first - PAST_MONTHS) & (won["month"] < first) & (won["won_value"] != 0)
    before = won[past.to_numpy(dtype=bool)].assign(open_value=0.0, new_value=0.0)
    before = before.assign(expected_value=before["won_value"])
    table = pd.concat([before, coming], ignore_index=True)
    return table.assign(key=table["month"].map(code))


def _kinds(table: Table) -> dict[str, Kind]:
    """Tell how the columns of a table are written, beside those that only charts need."""
    kinds = {column.name: column.kind for column in table.columns}
    more: dict[str, Kind] = {
        "forecast": {"key": "text", "past": "count"},
        "changes": {"key": "text"},
    }.get(table.key, {})  # type: ignore[assignment]
    return {name: kind for name, kind in kinds.items() if kind != "currency"} | more


def _plain(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Give the forecast by account the columns that its chart needs."""
    if table.key != "forecast":
        return frame
    period, now, _ = ahead(frame)
    rows, _ = recent(frame)
    past = (rows[period] < now).to_numpy(dtype=bool).astype(np.int64)
    return rows.assign(key=rows[period].map(code), past=past)


def _rows(frame: pd.DataFrame, names: Sequence[str], kinds: dict[str, Kind]) -> dict[str, Any]:
    """Write the rows of a frame by account, in the order in which they come."""
    places = {name: place for place, name in enumerate(names)}
    account = frame["account"].astype(object).map(places).to_numpy(dtype=np.int64)
    order = np.argsort(account, kind="stable")
    frame = frame.iloc[order]
    counts = np.bincount(account, minlength=len(names))
    columns: dict[str, list[Any]] = {}
    texts: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        if name not in frame.columns:
            continue
        if kind in ("text", "period"):
            columns[name], texts[name] = _texts(frame[name], kind)
        else:
            columns[name] = _numbers(frame[name], kind)
    if "currency" in frame.columns:
        columns["currency"], texts["currency"] = _texts(
            frame["currency"].map(currency_name), "text"
        )
    at = [0, *np.cumsum(counts).tolist()]
    return {"at": at, "columns": columns, "texts": texts}


def _texts(column: pd.Series, kind: Kind) -> tuple[list[int], list[str]]:
    given = column.astype("object")
    if kind == "period":
        given = given.where(given.notna(), _UNDATED)
    numbers, texts = pd.factorize(given)
    write = period_text if kind == "period" else str
    return numbers.tolist(), [text if isinstance(text, str) else write(text) for text in texts]


def _numbers(column: pd.Series, kind: Kind) -> list[Any]:
    """Write amounts in cents, shares in percent, and what is not known as null."""
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind == "money":
        values = np.rint(round_cents(values) * 100)
    elif kind == "percent":
        values = np.round(values * 100, 2)
    elif kind == "days":
        values = np.round(values)
    known = np.isfinite(values)
    return [
        None if not sure else int(value) if value == int(value) else value
        for value, sure in zip(np.where(known, values, 0.0).tolist(), known.tolist(), strict=True)
    ]
