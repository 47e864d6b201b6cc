"""The command capsule-sandbox: what it serves as a process of its own, what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import requests
from click.testing import CliRunner
from commands import invoked
from sandbox_account import account

from capsule_analytics import __version__
from capsule_analytics.sandbox import Sandbox
from capsule_analytics.sandbox.cli import sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = [
    sys.executable,
    "-W",
    "error",
    "-c",
    "from capsule_analytics.sandbox.cli import main; main()",
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account()), encoding="utf-8")
    return path


@contextmanager
def running(*arguments: str, **variables: str) -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
    )
    with process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        found = re.search(r"http://127\.0\.0\.1:\d+", lines[0])
        try:
            assert found is not None, lines
            yield found.group(), "".join(lines), process
        finally:
            process.kill()


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Send a signal; return the exit code, and what was said of it."""
    process.send_signal(number)
    code = process.wait(timeout=10)
    assert process.stderr is not None
    return code, process.stderr.read()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return invoked("capsule-sandbox", *arguments)


def test_it_serves_a_file_until_it_is_stopped(file: Path) -> None:
    """Its page limit and its quirks reach the server."""
    options = "--page-limit", "2", "--quirk", "milestones_all"
    with running("--account", str(file), *options) as (url, text, process):
        assert "6 opportunities" in text
        assert f"CAPSULE_TOKEN=sandbox capsule-report --base-url {url} --api-version v1" in text
        assert f"CAPSULE_TOKEN=sandbox capsule-report --base-url {url} --api-version v2" in text
        answer = requests.get(url + "/api/opportunity", auth=("sandbox", "x"), timeout=5)
        assert answer.status_code == 200
        assert b'size="2"' in answer.content
        headers = {"Authorization": "Bearer sandbox"}
        answer = requests.get(url + "/api/v2/milestones/all", headers=headers, timeout=5)
        assert answer.status_code == 404
        assert stopped(process, signal.SIGINT) == (0, "")


@pytest.mark.parametrize("way", ["file", "variable"])
def test_a_token_of_ones_own_is_accepted_and_never_shown(
    file: Path, tmp_path: Path, way: str
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("s3cret\n", encoding="utf-8-sig")
    token_file.chmod(0o600)
    arguments = ["--account", str(file)]
    variables = {"CAPSULE_SANDBOX_TOKEN": "s3cret"} if way == "variable" else {}
    if way == "file":
        arguments += ["--token-file", str(token_file)]
    with running(*arguments, **variables) as (url, text, process):
        assert "s3cret" not in text
        headers = {"Authorization": "Bearer s3cret"}
        assert requests.get(url + "/api/v2/users", headers=headers, timeout=5).status_code == 200
        assert stopped(process, signal.SIGTERM) == (0, "")


def test_trouble_is_one_line_and_status_1(file: Path, tmp_path: Path) -> None:
    with Sandbox(account()) as other:
        port = other.url.rpartition(":")[2]
        busy = run("--account", str(file), "--port", port)
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    empty = tmp_path / "token"
    empty.touch(mode=0o600)
    for result in (
        busy,
        run("--account", str(broken)),
        run("--host", "192.0.2.1"),
        run("--token-file", str(empty)),
    ):
        assert result.returncode == 1
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "x"],
        ["--account", "nowhere"],
        ["--token-file", "nowhere"],
        ["--latency", "nan"],
        ["--latency", "inf"],
        ["--latency", "-1"],
        ["--page-limit", "0"],
        ["--quirk", "nothing"],
        ["--quirk", "goal_value=half"],
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(sandbox, arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr


def test_without_the_extra_the_error_names_it() -> None:
    code = (
        "import sys; sys.modules['flask'] = sys.modules['werkzeug'] = None; "
        "from capsule_analytics.sandbox.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert 'pip install "capsule-analytics[sandbox]"' in result.stderr


def test_help_and_version() -> None:
    assert "--page-limit" in run("--help").stdout
    assert run("--version").stdout == f"capsule-sandbox, version {__version__}\n"
