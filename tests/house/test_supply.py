"""What we install is locked, kept, and under a licence that we can ship with."""

from __future__ import annotations

import ast
import datetime as dt
import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "locks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RENEW = "renew the locks: make constraints"

_PIN = re.compile(r"(?P<name>[a-z0-9-]+)(?:\[[a-z, -]+\])?==(?P<version>[^ ]+) ")
_ENTRY = re.compile(
    _PIN.pattern + r"(?:; [^\\\n]+ )?\\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n?)+"
)


def _check() -> Any:
    spec = importlib.util.spec_from_file_location("check", LOCKS / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECK = _check()
RULES = CHECK.rules()
TABLE = CHECK.table()


def locked(name: str) -> dict[str, list[str]]:
    """Return the releases of a lock, by package: more than one where a Python has its own."""
    found: dict[str, list[str]] = {}
    for line in (LOCKS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        pin = _PIN.match(line)
        if pin:
            found.setdefault(pin["name"], []).append(pin["version"])
    return found


def declared(*extras: str) -> list[Requirement]:
    """Return what pyproject.toml asks for, with some extras and those that they name."""
    wanted = [Requirement(line) for line in PROJECT["dependencies"]]
    for extra in extras:
        for line in PROJECT["optional-dependencies"][extra]:
            one = Requirement(line)
            own = canonicalize_name(one.name) == PROJECT["name"]
            wanted += declared(*one.extras) if own else [one]
    return wanted


def test_every_locked_package_is_kept_and_may_be_shipped() -> None:
    day = dt.date.fromisoformat(TABLE[0]["locked"])
    assert CHECK.findings(TABLE, RULES, day) == []


def test_what_breaks_a_rule_is_found() -> None:
    rules = {
        "age": {"years": 2},
        "old": {"named": "a reason", "renewed": "a reason"},
        "licence": {"allowed": ["MIT", "Apache-2.0"]},
    }
    rows = [
        ("kept", "2024-11-24", "MIT"),
        ("late", "2024-11-23", "MIT"),
        ("named", "2019-01-01", "GPL-3.0-only OR MIT"),
        ("renewed", "2026-01-01", "MIT AND (Apache-2.0 OR GPL-3.0-only)"),
        ("viral", "2026-01-01", "MIT AND GPL-3.0-only"),
    ]
    table = [
        {"name": name, "version": "1", "released": released, "licence": licence}
        for name, released, licence in rows
    ]
    assert CHECK.findings(table, rules, dt.date(2026, 11, 24)) == [
        "late 1 is of 2024-11-23: find a package that is kept, or say in [old] why not",
        "renewed is excused in [old] without need",
        "viral 1 stands under MIT AND GPL-3.0-only",
    ]


@pytest.mark.parametrize("lock", ["test", "report", "image"])
def test_the_table_tells_of_every_locked_release(lock: str) -> None:
    told = {(one["name"], one["version"]) for one in TABLE if lock in one["locks"].split()}
    assert told == {
        (name, version) for name, versions in locked(lock).items() for version in versions
    }


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("test", ["all", "dev"]),
        ("report", ["html", "excel"]),
        ("image", RULES["image"]["extras"]),
    ],
)
def test_a_lock_has_what_pyproject_asks_for(lock: str, extras: list[str]) -> None:
    releases = locked(lock)
    for wanted in declared(*extras):
        versions = releases.get(canonicalize_name(wanted.name), [])
        assert versions, f"{wanted.name} is not in locks/{lock}.txt; {RENEW}"
        assert all(wanted.specifier.contains(version) for version in versions), (wanted, RENEW)


def test_the_table_has_what_any_extra_asks_for() -> None:
    told = {one["name"] for one in TABLE}
    every = declared(*PROJECT["optional-dependencies"])
    assert {canonicalize_name(one.name) for one in every} - told == set(), RENEW


@pytest.mark.parametrize("lock", ["report", "image"])
def test_the_smaller_locks_install_what_the_tests_ran_on(lock: str) -> None:
    tested = locked("test")
    assert {name: found for name, found in locked(lock).items() if found != tested[name]} == {}


@pytest.mark.parametrize("lock", ["test", "report", "image", "clients"])
def test_every_release_is_pinned_with_hashes_and_no_place_is_named(lock: str) -> None:
    text = (LOCKS / f"{lock}.txt").read_text(encoding="utf-8")
    head, *entries = re.split(r"\n(?=[a-z0-9])", text)
    assert head.startswith("#")
    assert [entry[:200] for entry in entries if not _ENTRY.fullmatch(entry)] == []
    assert len(entries) == sum(map(len, locked(lock).values()))
    assert "://" not in text
    assert "file:" not in text


def test_the_extra_that_an_error_names_exists() -> None:
    named = {
        node.args[1].value
        for path in (ROOT / "capsule_analytics").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "missing_extra"
        and isinstance(node.args[1], ast.Constant)
    }
    assert "risk" in named
    assert named - set(PROJECT["optional-dependencies"]) == set()


def test_the_image_takes_what_is_there() -> None:
    """What the Dockerfile copies exists, and .dockerignore lets it through."""
    steps = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", steps, flags=re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert [source for source in copied if not (ROOT / source).exists()] == []
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert copied == {line[1:] for line in lines if line.startswith("!")}
