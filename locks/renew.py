"""Write the locks, and the table of what is in them: ``make constraints``.

A lock lists every package that one use installs, with the hashes of its files: for Python 3.11 to
3.14 on every platform, so that a machine takes those that are its own. ``test.txt`` is what the
tests need, ``report.txt`` and ``image.txt`` are parts of it at the same versions; ``clients.txt``
is what the clients that others wrote need, and is in no table. ``packages.csv`` tells of each
release that any extra brings when its first file was uploaded, by the index's word, and under which
licence it stands, by its own metadata; ``check.py`` holds it to ``rules.toml`` without a network.

A release is taken when it has been out for a week, so that one which is found to be harmful is gone
before it can get here. No file names the place that packages come from: that is pip's setting.

Needs uv and a pip that reports licences (25 or later), which ``make constraints`` installs apart.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
ROOT = HERE.parent
RULES = tomllib.loads((HERE / "rules.toml").read_text(encoding="utf-8"))

PYTHONS = ["3.11.0", "3.12.0", "3.13.0", "3.14.0"]
REST = "7 days"

LOCKS = {
    "test": ["all", "dev"],
    "report": ["html", "excel"],
    "image": RULES["image"]["extras"],
}
"""The lock of each use, and the extras that it installs."""

# The machines that are asked which of the locked packages they take; pip needs a platform's name
# to look at the files of another system than the one it runs on.
MACHINES = [
    *((python, "linux", ["manylinux2014_x86_64", "manylinux_2_28_x86_64"]) for python in PYTHONS),
    *((python, "win32", ["win_amd64"]) for python in PYTHONS),
    *((python, "darwin", ["macosx_14_0_arm64"]) for python in PYTHONS),
]

# Where each lock must install from wheels alone.
PLATFORMS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]

HEADER = "# Written by `make constraints`; see locks/renew.py.\n"


def run(*words: str | Path, given: str = "") -> str:
    """Run a tool of this Python's environment and return what it prints, or stop with its words."""
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", *map(str, words)],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=900,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stderr}")
    return done.stdout


def resolve(*extras: str, held: tuple[str, ...] = (), others: tuple[str, ...] = ()) -> str:
    """Resolve extras of the package, what builds it, and others to pinned releases with hashes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return run(
        *("uv", "pip", "compile", "pyproject.toml", "-", "--quiet", *held),
        *(word for extra in extras for word in ("--extra", extra)),
        *("--universal", "--python-version", "3.11", "--exclude-newer", REST),
        *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"),
        # pip asks for the hashes of a package with its extras by that very name.
        "--no-strip-extras",
        given="\n".join([*project["build-system"]["requires"], "editables", *others]),
    )


def without_browsers(text: str) -> str:
    """Leave out what is needed only where Python runs in a browser, which nobody here does."""
    block = r"^\S+ ; .*sys_platform == 'emscripten' *\\\n(?:    --hash.*\n)+"
    return re.sub(block, "", text, flags=re.MULTILINE)


def requirements(path: Path) -> list[Requirement]:
    """Read the packages of a lock, without the hashes."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        Requirement(line.removesuffix("\\").strip())
        for line in lines
        if line and line[0] not in "# "
    ]


def release(package: Requirement) -> tuple[str, str]:
    """Name a release: the package and its one version."""
    (pin,) = package.specifier
    return canonicalize_name(package.name), pin.version


def uploaded(lock: Path) -> dict[tuple[str, str], dt.date]:
    """Ask on which day each release of a lock was uploaded: its first file."""
    told = run(
        *("uv", "pip", "compile", lock, "--quiet", "--universal", "--python-version", "3.11"),
        *("--no-header", "--format", "pylock.toml"),
    )
    return {
        (package["name"], package["version"]): min(
            file["upload-time"].date()
            for file in [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        )
        for package in tomllib.loads(told)["packages"]
    }


def metadata(lock: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Ask what each release of a lock says of itself, on the first machine that takes it."""
    told: dict[tuple[str, str], dict[str, Any]] = {}
    for python, system, tags in MACHINES:
        here = {
            "python_version": python.rpartition(".")[0],
            "python_full_version": python,
            "sys_platform": system,
            "os_name": "nt" if system == "win32" else "posix",
            "platform_system": {"linux": "Linux", "win32": "Windows", "darwin": "Darwin"}[system],
        }
        wanted = [
            f"{name}=={version}"
            for package in requirements(lock)
            if (package.marker is None or package.marker.evaluate(here))
            for name, version in [release(package)]
            if (name, version) not in told
        ]
        if not wanted:
            continue
        report = json.loads(
            run(
                *("pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"),
                *("--only-binary", ":all:", "--python-version", python, "--target", "nowhere"),
                *(word for tag in tags for word in ("--platform", tag)),
                *("--report", "-", *wanted),
            )
        )
        for item in report["install"]:
            about = item["metadata"]
            told[canonicalize_name(about["name"]), about["version"]] = about
    return told


def licence(name: str, about: dict[str, Any]) -> str:
    """Find a release's licence as an SPDX expression: as it is told, or as the rules read it."""
    words: dict[str, str] = RULES["licence"]["words"]
    told = about.get("license_expression") or RULES["licence"]["read"].get(name)
    if told:
        return str(told)
    first_line = (about.get("license") or "").partition("\n")[0]
    if first_line in words:
        return words[first_line]
    classified = {line.rpartition(" :: ")[2] for line in about.get("classifier", [])} & set(words)
    if not classified:
        raise SystemExit(
            f"{name} does not tell its licence in its metadata: read its licence file, and add it "
            "to [licence.read] in locks/rules.toml"
        )
    return " OR ".join(sorted(words[word] for word in classified))


def write_table(others: Path) -> None:
    """Write what is in the locks: release, day, licence, and which of our locks have it.

    The file systems of the clouds are in no lock and cap what the others may use, so that they
    stand in a resolution of their own.
    """
    used = {name: {release(one) for one in requirements(HERE / f"{name}.txt")} for name in LOCKS}
    days, told = uploaded(others), metadata(others)
    days |= uploaded(HERE / "test.txt")
    told |= metadata(HERE / "test.txt")
    today = dt.datetime.now(dt.UTC).date()
    with (HERE / "packages.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["name", "version", "released", "licence", "locks", "locked"])
        for key, about in sorted(told.items()):
            locks = " ".join(use for use, releases in used.items() if key in releases)
            rows.writerow([*key, days[key], licence(key[0], about), locks, today])


def verify() -> None:
    """See that each lock installs from wheels alone on each Python and platform of ours."""
    for name in LOCKS:
        for python in PYTHONS:
            for platform in PLATFORMS:
                with tempfile.TemporaryDirectory() as folder:
                    run(
                        *("uv", "pip", "install", "--quiet", "--dry-run", "--target", folder),
                        *("--only-binary", ":all:", "--require-hashes", "--python-version", python),
                        *("--python-platform", platform, "-r", HERE / f"{name}.txt"),
                    )


def main() -> None:
    """Write the locks and the table, and see that the locks install."""
    whole: tuple[str, ...] = ()
    for name, extras in LOCKS.items():
        text = resolve(*extras, held=whole)
        (HERE / f"{name}.txt").write_text(HEADER + without_browsers(text), encoding="utf-8")
        whole = ("--constraints", "locks/test.txt")
    clients = resolve(*RULES["clients"]["extras"], others=tuple(RULES["clients"]["packages"]))
    (HERE / "clients.txt").write_text(HEADER + without_browsers(clients), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        clouds = Path(folder) / "clouds.txt"
        clouds.write_text(resolve(*RULES["clouds"]["extras"]), encoding="utf-8")
        write_table(clouds)
    verify()


if __name__ == "__main__":
    main()
