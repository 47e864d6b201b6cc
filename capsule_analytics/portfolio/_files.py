"""The files of a portfolio: which account has which days, and in which files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from capsule_analytics.errors import (
    DataError,
    MissingExtraError,
    TransportError,
    missing_extra,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PLACE = re.compile(r"/account=(?P<account>[^/]*)/day=(?P<day>\d{4}-\d\d-\d\d)(?:/|$)")
_NO_NAME = "__HIVE_DEFAULT_PARTITION__"
_BATCH_BYTES = 64_000_000
_BATCH_ACCOUNTS = 200

# The package that reads an address, and the extra that brings it.
_FILE_SYSTEMS = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
}


@dataclass(frozen=True)
class Unit:
    """One account on one day, which is used whole or not at all.

    Attributes
    ----------
    account
        Its name.
    day
        The day of the snapshot.
    files
        Its Parquet files, as paths of the file system; none where an export was cut short.
    size
        Their length in bytes.
    """

    account: str
    day: date
    files: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Place:
    """Where an export stands: an address that any process can open again.

    Attributes
    ----------
    address
        A local folder, or an address such as ``s3://bucket/export``.
    options
        What its file system needs to know, such as an endpoint.
    """

    address: str
    options: Mapping[str, Any]

    def open(self) -> tuple[Any, str]:
        """Return the file system and the folder in it.

        Raises
        ------
        DataError
            If there is no file system for the address.
        MissingExtraError
            If fsspec, or what it needs for the address, is not installed.
        TransportError
            If the file system does not start.
        """
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415 - an optional dependency

            system, folder = url_to_fs(self.address, **self.options)
        except ImportError as error:
            raise self._not_installed(error) from error
        except ValueError as error:
            # fsspec learns some addresses only from the package that reads them.
            if self._protocol in _FILE_SYSTEMS:
                raise self._not_installed(error) from error
            raise DataError(f"{self.address}: {error}") from error
        except OSError as error:
            raise TransportError(f"{self.address}: {str(error).partition(chr(10))[0]}") from error
        return system, folder

    @property
    def _protocol(self) -> str:
        """The address's protocol; of a chain such as ``simplecache::s3://`` the last."""
        return self.address.partition("://")[0].rpartition("::")[2]

    def _not_installed(self, error: Exception) -> MissingExtraError:
        """Name what would read the address, and the extra that brings it where there is one."""
        if isinstance(error, ImportError) and error.name == "fsspec":
            return missing_extra(f"A portfolio at {self.address}", "cluster")
        if self._protocol in _FILE_SYSTEMS:
            package, extra = _FILE_SYSTEMS[self._protocol]
            return missing_extra(f"A portfolio at {self.address}, read with {package},", extra)
        return MissingExtraError(f"A portfolio at {self.address}: {error}")


def place_of(path: str | Path, options: Mapping[str, Any] | None) -> Place:
    """Return the place of an export; a local path is made absolute, as workers stand elsewhere."""
    address = str(path)
    if "://" not in address and "::" not in address:
        address = str(Path(address).resolve())
    return Place(address, dict(options or {}))


def units(place: Place) -> list[Unit]:
    """List what an export holds, by account and day.

    Raises
    ------
    DataError
        If there is no folder of an account.
    """
    system, folder = place.open()
    found: dict[tuple[str, date], list[dict[str, Any]]] = {}
    # A listing that was kept from earlier would hide what was exported since.
    system.invalidate_cache()
    listed = system.find(folder, withdirs=True, detail=True) if system.exists(folder) else {}
    for path, entry in listed.items():
        place_in = _PLACE.search(path)
        if place_in is None:
            continue
        name = place_in["account"]
        account = "" if name == _NO_NAME else unquote(name)
        files = found.setdefault((account, date.fromisoformat(place_in["day"])), [])
        if entry["type"] != "directory" and path.endswith(".parquet"):
            files.append(entry)
    if not found:
        raise DataError(
            f"{place.address} holds no export: there is no account=NAME/day=YYYY-MM-DD in it "
            "(write one with capsule-snapshot --export)"
        )
    return [
        Unit(
            account,
            day,
            tuple(sorted(entry["name"] for entry in files)),
            sum(entry["size"] or 0 for entry in files),
        )
        for (account, day), files in sorted(found.items())
    ]


def batches(chosen: Sequence[Unit]) -> Iterator[tuple[Unit, ...]]:
    """Put accounts together to pieces of work: not so small that starting each is most of it.

    The days of an account, which stand side by side, stay together.
    """
    batch: list[Unit] = []
    for _, of_account in groupby(chosen, key=attrgetter("account")):
        batch += of_account
        full = sum(one.size for one in batch) >= _BATCH_BYTES or len(batch) >= _BATCH_ACCOUNTS
        if full:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)
