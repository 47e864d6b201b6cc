"""Hold the locked packages to ``rules.toml``: kept, and under a licence that we can ship with.

``python locks/check.py`` judges as of today; the tests judge as of the day of the locks, so that a
checkout does not fail for growing old. Neither needs a network.
"""

from __future__ import annotations

import csv
import datetime as dt
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def rules() -> dict[str, Any]:
    """Read the rules."""
    return tomllib.loads((HERE / "rules.toml").read_text(encoding="utf-8"))


def table() -> list[dict[str, str]]:
    """Read the locked releases: name, version, released, licence, locks, locked."""
    with (HERE / "packages.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def ships(expression: str, allowed: set[str]) -> bool:
    """Tell if a licence expression leaves a choice among what is allowed, in each of its parts."""
    return all(
        any(choice.strip("() ") in allowed for choice in part.split(" OR "))
        for part in expression.split(" AND ")
    )


def findings(packages: list[dict[str, str]], held_to: dict[str, Any], day: dt.date) -> list[str]:
    """List what breaks a rule on a day, and which exception is no longer one."""
    since = day.replace(year=day.year - held_to["age"]["years"], day=min(day.day, 28))
    old = {
        one["name"]: f"{one['name']} {one['version']} is of {one['released']}"
        for one in packages
        if dt.date.fromisoformat(one["released"]) < since
    }
    excused = held_to["old"]
    allowed = set(held_to["licence"]["allowed"])
    return [
        *(
            f"{told}: find a package that is kept, or say in [old] why not"
            for name, told in old.items()
            if name not in excused
        ),
        *(f"{name} is excused in [old] without need" for name in excused if name not in old),
        *(
            f"{one['name']} {one['version']} stands under {one['licence']}"
            for one in packages
            if not ships(one["licence"], allowed)
        ),
    ]


def main() -> None:
    """Judge as of today; exit code 1 where a rule is broken."""
    found = findings(table(), rules(), dt.datetime.now(dt.UTC).date())
    print(*found or ["every package is kept and may be shipped"], sep="\n")  # noqa: T201
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
