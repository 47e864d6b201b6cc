"""README and docs say what the code does: their examples run, their commands and links exist."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from commands import command as in_a_process
from commands import invoked

import capsule_analytics as ca
from capsule_analytics._deals._placing import CALIBRATED
from capsule_analytics.cli._config import read_config

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *(path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts),
]
SHELLS = {"bash", "console", "powershell", "text"}

_FENCE = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_COMMAND = re.compile(r"capsule-(?:mcp|report|snapshot|sandbox)(?=\.exe|\s)")


def _generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()
COMMANDS: dict[str, click.Command] = GENERATOR.commands()


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block: its language with what stands beside it, its text, its line."""

    info: str
    body: str
    line: int


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [
        Block(found["info"].strip(), found["body"], text[: found.start()].count("\n") + 2)
        for found in _FENCE.finditer(text)
    ]


# Python


def python_blocks(path: Path) -> list[Block]:
    return [block for block in blocks(path) if block.info == "python"]


def prepared(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give a page what it speaks of and does not make itself."""
    monkeypatch.chdir(folder)
    if path.name != "history.md":
        return {}
    # Its reader has recorded snapshots in the default store.
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    with ca.history.open_store() as store:
        for day in ca.history.sample_history()[-8:]:
            store.record(day)
    return {}


# The gallery is run where its pictures are held to it.
RUN_HERE = [path for path in PAGES if python_blocks(path) and path.name != "gallery.md"]


@pytest.mark.parametrize("path", RUN_HERE, ids=name)
@pytest.mark.usefixtures("fitted_once")
def test_python_of_a_page_runs_in_order(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = prepared(path, tmp_path, monkeypatch)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    with mpl.rc_context():
        for block in python_blocks(path):
            if ">>>" in block.body:
                example = doctest.DocTestParser().get_doctest(
                    block.body, space, name(path), name(path), block.line - 1
                )
                report: list[str] = []
                runner.run(example, out=report.append, clear_globs=False)
                assert not report, "".join(report)
                space |= example.globs
            else:
                source = "\n" * (block.line - 1) + block.body
                exec(compile(source, name(path), "exec"), space)  # noqa: S102 - our own pages
        plt.close("all")


def test_only_a_live_account_excuses_a_block_from_running() -> None:
    languages = {block.info for path in PAGES for block in blocks(path)}
    known = {"python", "python no-run", "json", "sql", "toml", "{eval-rst}", "{toctree}"}
    assert languages <= known | SHELLS
    for path in PAGES:
        for block in blocks(path):
            if block.info == "python no-run":
                ast.parse(block.body)
                assert "account=" in block.body, f"{name(path)}, line {block.line}"


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_configurations_of_a_page_are_understood(path: Path, tmp_path: Path) -> None:
    for block in blocks(path):
        if block.info == "toml":
            (tmp_path / "capsule.toml").write_text(block.body, encoding="utf-8")
            assert read_config(tmp_path / "capsule.toml")


# Commands


def command_lines(path: Path) -> list[tuple[str, list[str]]]:
    """Find the commands of the package in a page's shell blocks: name and arguments."""
    found = []
    for block in blocks(path):
        if block.info not in SHELLS:
            continue
        for line in block.body.replace("\\\n", " ").splitlines():
            start = _COMMAND.search(line)
            if start is None or line.lstrip().startswith("#") or "[OPTIONS]" in line:
                continue
            words = shlex.split(line[start.start() :], posix=block.info != "powershell")
            ends = [i for i, word in enumerate(words) if word in {"|", ">", ">>", "&&", ";", "&"}]
            found.append((start[0], words[1 : min(ends, default=None)]))
    return found


LINES = [(path, line) for path in PAGES for line in command_lines(path)]


@pytest.mark.parametrize(
    ("path", "line"), LINES, ids=[f"{name(path)}: {shlex.join(line[1])}" for path, line in LINES]
)
def test_commands_of_a_page_are_understood(
    path: Path, line: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called, words = line
    command = COMMANDS[called]
    monkeypatch.chdir(tmp_path)
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):  # the reader has the file
            monkeypatch.setattr(parameter.type, "exists", False)
    try:
        context = command.make_context(called, list(words))
    except click.exceptions.Exit:  # --version, --init
        return
    assert context.params, name(path)


def without_default(words: list[str]) -> list[str]:
    """Leave out what would be so anyway: the folder's name."""
    return words[:-2] if words[-2:] == ["--out", "report"] else words


RUN = sorted({(line[0], *without_default(line[1])) for _, line in LINES if "--sample" in line[1]})


@pytest.mark.parametrize("words", RUN, ids=shlex.join)
@pytest.mark.usefixtures("fitted_once")
def test_commands_on_the_sample_account_run(words: tuple[str, ...], tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    if words[0] == "capsule-mcp":  # speaks over this process's own standard input and output
        done = in_a_process(*words, **home)
    else:
        done = invoked(*words, cwd=tmp_path, **home)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    if words[0] == "capsule-report":
        out = tmp_path / (words[words.index("--out") + 1] if "--out" in words else "report")
        assert {"forecast.png", "forecast.csv"} <= {file.name for file in out.iterdir()}
        assert (out / "report.xlsx").exists() == ("--xlsx" in words)
        assert (out / "report.html").exists() == ("--html" in words)


@pytest.mark.usefixtures("fitted_once")
def test_the_tutorial_names_the_files_of_a_report(tmp_path: Path) -> None:
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    table = re.search(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert table is not None
    named = re.findall(r"`([\w.]+)`", table[0])
    ca.report.write_report(ca.load_sample(), tmp_path)
    written = [file.name for file in tmp_path.iterdir() if not file.name.startswith(".")]
    assert sorted(named) == sorted(written)


# Generated pages


@pytest.mark.parametrize("page", sorted(GENERATOR.PAGES))
def test_generated_pages_are_up_to_date(page: str) -> None:
    written = (DOCS / page).read_text(encoding="utf-8")
    assert written == GENERATOR.PAGES[page](), "run python docs/generate.py"


def test_every_option_of_every_command_is_documented() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    sections = dict(
        zip(COMMANDS, re.split(r"^## capsule-\w+$", text, flags=re.MULTILINE)[1:], strict=True)
    )
    for called, command in COMMANDS.items():
        for parameter in command.params:
            for option in [*parameter.opts, *parameter.secondary_opts]:
                if option.startswith("-"):
                    assert f"`{option}`" in sections[called], f"{called} {option}"


def test_every_column_and_finding_is_documented() -> None:
    text = (DOCS / "columns.md").read_text(encoding="utf-8")
    pipeline = ca.load_sample()
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \| .+ \|$", text, flags=re.MULTILINE)
    frame = pipeline.opportunities
    assert [row[0] for row in rows] == ["id", *frame.columns]
    assert [column for column, dtype in rows[1:] if frame[column].dtype != dtype] == []
    named = set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE))
    assert set(pipeline.milestones.columns) <= named
    assert set(pipeline.issues["check"]) <= named
    converted = ca.fx.convert(pipeline, "GBP", ca.fx.ecb_rates(), missing="flag")
    assert set(converted.opportunities.columns) <= named
    assert set(converted.issues["check"]) <= named
    assert CALIBRATED in named


# Troubleshooting


@cache
def templates() -> list[re.Pattern[str]]:
    """Collect the texts of the code as patterns in which filled-in parts match anything."""
    patterns = set()
    for path in sorted((ROOT / "capsule_analytics").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    one.value if isinstance(one, ast.Constant) else None for one in node.values
                ]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts = [node.value]
            else:
                continue
            if sum(len(part) for part in parts if part) >= 12:  # else it matches anything
                patterns.add("".join(".*" if part is None else re.escape(part) for part in parts))
    return [re.compile(pattern, re.DOTALL) for pattern in sorted(patterns)]


def test_quoted_messages_are_those_of_the_code() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^> (.+)$", text, flags=re.MULTILINE)
    assert len(quoted) > 40
    unknown = [one for one in quoted if not any(known.fullmatch(one) for known in templates())]
    assert unknown == []


def test_a_message_that_the_code_does_not_have_would_be_noticed() -> None:
    assert not any(known.fullmatch("no token: set CAPSULE_KEY") for known in templates())


# The built pages


def test_the_notebooks_of_the_docs_are_those_of_the_repository() -> None:
    assert (DOCS / "notebooks").resolve() == ROOT / "notebooks"


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("furo", reason="needs the extra docs")
    pytest.importorskip("myst_nb", reason="needs the extra docs")
    build = ["-m", "sphinx", "-W", "--keep-going", "-q", "-b", "dummy", str(DOCS), str(tmp_path)]
    build += ["-D", "nb_execution_mode=off"]  # the notebooks are run by tests of their own
    done = subprocess.run(
        [sys.executable, *build], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


# Links, names


def anchors(path: Path) -> set[str]:
    """Name the headings of a page as GitHub and MyST do."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in _LINK.findall(_FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"https?://|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = set()
    for index in (DOCS / "index.md", DOCS / "reference.md"):
        for block in blocks(index):
            if block.info == "{toctree}":
                listed |= {line for line in block.body.splitlines() if line and line[0] != ":"}
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in PAGES if DOCS in path.parents}
    pages |= {f"notebooks/{path.stem}" for path in (DOCS / "notebooks").glob("*.ipynb")}
    assert pages == listed | {"index"}


def test_every_public_name_is_in_the_reference() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    named = set(re.findall(r"capsule_analytics\.(\w+)", text))
    named |= set(re.findall(r"\w+", " ".join(re.findall(r":members: (.+)", text))))
    # The tree of errors is documented as a whole.
    assert set(ca.__all__) - {"__version__", "CapsuleError"} <= named


def test_extras_that_pages_and_docstrings_name_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for path in [*PAGES, *sorted((ROOT / "capsule_analytics").rglob("*.py"))]:
        text = path.read_text(encoding="utf-8")
        for extras in re.findall(r"capsule-analytics\[([\w,]+)\]", text):
            for extra in set(extras.split(",")) - {"extra"}:
                assert extra in project["optional-dependencies"], f"{name(path)}: {extra}"
