"""The house is as ARCHITECTURE.md says: who imports whom, who touches what, what a door shows."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import capsule_analytics as ca

HOUSE = Path(ca.__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

# Files that stand beside the wings and that all of them use.
SHARED = {"_card", "_deadline", "_deals", "_drawing", "_kinds", "_safe_text", "_words"}

DRAWS = {
    "plot": "the charts",
    "_drawing.py": "makes files of charts and closes them",
}

NETWORK = {"http", "requests", "socket", "socketserver", "smtplib", "ssl", "urllib3", "werkzeug"}
# A wing, or a file of it, and why it may.
SPEAKS_HTTP = {
    "_deadline.py": "holds a connection to its time",
    "api": "the client",
    "sandbox": "the server",
    "deliver": "sends a report",
}

DISK = {"fcntl", "msvcrt", "shutil", "tempfile"}
DISK_CALLS = {
    *("open", "mkdir", "replace", "rmdir", "unlink", "touch", "write_text"),
    *("write_bytes", "read_text", "read_bytes", "to_csv", "to_parquet", "savefig", "iterdir"),
}
TOUCHES_DISK = {
    "report": "writes the report",
    "history": "keeps the store",
    "portfolio": "reads the store's export",
    "load/_cache.py": "keeps the pages of a load that failed",
    "fx/_rates.py": "reads rates from a file",
    "targets.py": "reads targets from a file",
    "sample.py": "reads the sample account that ships with the package",
    "_drawing.py": "saves charts, to memory",
    "deliver/_message.py": "reads the charts and the page of a report that goes along",
    "cli": "reads the configuration and the token file",
    "sandbox": "reads the account that it serves",
}

PUBLIC = [
    "capsule_analytics",
    *(
        f"capsule_analytics.{path.stem}"
        for path in sorted(HOUSE.iterdir())
        if not path.name.startswith("_")
        and (path.suffix == ".py" or (path / "__init__.py").exists())
    ),
]


def where(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


def wing(path: Path) -> str:
    """Return a file's wing: its folder, or itself where it stands alone."""
    return where(path).split("/", maxsplit=1)[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """List what a file imports, as ``module.name`` with its line; relative ones are spelled out."""
    package = ["capsule_analytics", *path.relative_to(HOUSE).parts[:-1]]
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def allowed(path: Path, rooms: dict[str, str]) -> bool:
    return wing(path) in rooms or where(path) in rooms


def test_no_wing_imports_a_private_file_of_another() -> None:
    found = []
    for path in FILES:
        for line, name in imports(path):
            house, _, rest = name.partition(".")
            if house != "capsule_analytics" or not rest:
                continue
            other, *inside = rest.split(".")
            if other in {wing(path), "__version__"}:
                continue
            # The last part may be a name that the door gives; what stands before it are files.
            file = HOUSE.joinpath(other, *inside).with_suffix(".py")
            private = (
                (other.startswith("_") and other not in SHARED)
                or any(part.startswith("_") for part in inside[:-1])
                or (bool(inside) and inside[-1].startswith("_") and file.exists())
            )
            if private:
                found.append(f"{where(path)}:{line} imports {name}")
    assert found == []


def test_no_two_files_import_each_other() -> None:
    """Not by a way round through others either, and not for types alone; doors only re-export."""
    modules = {
        "capsule_analytics." + where(path).removesuffix(".py").replace("/", "."): path
        for path in FILES
    }
    uses = {
        where(path): {
            where(modules[module])
            for _, name in imports(path)
            for module in (name, name.rpartition(".")[0])
            if module in modules and modules[module] != path
        }
        for path in FILES
        if path.name != "__init__.py"
    }
    TopologicalSorter(uses).prepare()  # raises an error that names the files


def test_doors_hold_no_code() -> None:
    """A door imports and lists; only lazy doors have functions, for `__getattr__` and `__dir__`."""
    found = [
        f"{where(path)}:{node.lineno}"
        for path in FILES
        if path.name == "__init__.py"
        for node in TREES[path].body
        if isinstance(node, ast.ClassDef)
        or (isinstance(node, ast.FunctionDef) and node.name not in {"__getattr__", "__dir__"})
    ]
    assert found == []


def draws(path: Path) -> list[str]:
    return [
        f"{where(path)}:{line} imports {name}"
        for line, name in imports(path)
        if name.split(".")[0] in {"matplotlib", "mpl_toolkits"}
    ]


def speaks_http(path: Path) -> list[str]:
    return [
        f"{where(path)}:{line} imports {name}"
        for line, name in imports(path)
        if name.split(".")[0] in NETWORK or name.startswith("urllib.request")
    ]


def touches_disk(path: Path) -> list[str]:
    """Say where a file is read or written, as well as imports and the names of calls can tell."""
    found = [
        f"{where(path)}:{line} imports {name}"
        for line, name in imports(path)
        if name.split(".")[0] in DISK
    ]
    for node in ast.walk(TREES[path]):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
        # `text.replace(a, b)` and `day.replace(year=...)` are no files; `path.replace(to)` is.
        in_memory = name == "replace" and (len(node.args) != 1 or bool(node.keywords))
        if name in DISK_CALLS and not in_memory:
            found.append(f"{where(path)}:{node.lineno} calls {name}")
    return found


@pytest.mark.parametrize(
    ("found_in", "rooms"),
    [(draws, DRAWS), (speaks_http, SPEAKS_HTTP), (touches_disk, TOUCHES_DISK)],
    ids=["draws", "speaks_http", "touches_disk"],
)
def test_only_the_named_rooms_do_it(
    found_in: Callable[[Path], list[str]], rooms: dict[str, str]
) -> None:
    found = {path: found_in(path) for path in FILES}
    elsewhere = {path: told for path, told in found.items() if told and not allowed(path, rooms)}
    assert [line for told in elsewhere.values() for line in told] == []
    # A leave that nothing needs any more is taken back.
    used = {room for path, told in found.items() if told for room in (wing(path), where(path))}
    assert set(rooms) - used == set()


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_lists_names_that_exist(name: str) -> None:
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    assert [one for one in module.__all__ if not hasattr(module, one)] == []
    assert module.__doc__


@pytest.mark.parametrize("name", PUBLIC)
def test_dir_shows_what_is_public(name: str) -> None:
    module = importlib.import_module(name)
    shown = {one for one in dir(module) if not one.startswith("_")}
    public = {one for one in module.__all__ if not one.startswith("_")}
    assert shown == public


def test_a_star_import_brings_what_is_public() -> None:
    names: dict[str, object] = {}
    exec("from capsule_analytics import *", names)  # noqa: S102 - the statement that users type
    assert set(ca.__all__) <= set(names)
    assert names["forecast"] is ca.forecast
    assert {one for one in names if not one.startswith("__")} == {
        one for one in ca.__all__ if not one.startswith("__")
    }
