"""``capsule-mcp`` as an assistant meets it: a process, asked by the client of the package mcp."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from commands import environment
from sandbox_account import account

from capsule_analytics.mcp import TOOLS
from capsule_analytics.sandbox import Hook, Sandbox

pytest.importorskip("mcp", reason="needs the extra mcp")
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

TOKEN = "t0ken-of-acme"
_START = "from capsule_analytics.cli import mcp_main; mcp_main()"


def conversation(
    args: list[str], calls: list[tuple[str, dict[str, Any]]], log: Path, **variables: str
) -> tuple[list[Any], list[Any]]:
    """Start the command, list its tools, call some, and end it; return tools and answers."""

    async def talk() -> tuple[list[Any], list[Any]]:
        process = StdioServerParameters(
            command=sys.executable, args=["-c", _START, *args], env=environment(**variables)
        )
        with log.open("w", encoding="utf-8") as errors, anyio.fail_after(120):
            async with Client(stdio_client(process, errlog=errors)) as client:
                tools = (await client.list_tools()).tools
                return tools, [await client.call_tool(name, given) for name, given in calls]

    return anyio.run(talk)


def test_an_assistant_asks_a_live_account(tmp_path: Path) -> None:
    token, log = tmp_path / "token", tmp_path / "log"
    token.write_text(TOKEN, encoding="utf-8")
    token.chmod(0o600)
    with Sandbox(account(), token=TOKEN) as sandbox:
        args = ["--base-url", sandbox.url, "--token-file", str(token)]
        calls: list[tuple[str, dict[str, Any]]] = [
            ("deal", {"deal_id": 101}),
            ("forecast", {"currency": "JPY"}),
            ("projection", {"period": "week"}),
            ("deals_needing_attention", {"top": 1}),
        ]
        tools, (deal, wrong, refused, needing) = conversation(
            args, calls, log, XDG_DATA_HOME=str(tmp_path)
        )
    assert sorted(tool.name for tool in tools) == sorted(TOOLS)
    assert all(tool.annotations.read_only_hint for tool in tools)
    assert all(tool.description for tool in tools)

    answer = json.loads(deal.content[0].text)
    assert not deal.is_error
    assert answer == deal.structured_content
    assert answer["source"] == "the live account"
    assert answer["deal"]["id"] == 101
    assert answer["how_sure"]["track_record"].endswith("too few months to tell")

    assert wrong.is_error
    assert "no open or won deal is in 'JPY'" in wrong.content[0].text
    assert refused.is_error
    assert "'month', 'quarter' or 'year'" in refused.content[0].text
    assert len(needing.structured_content["rows"]) == 1
    assert TOKEN not in "".join(one.content[0].text for one in (deal, wrong, refused, needing))
    assert log.read_text(encoding="utf-8") == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_it_ends_when_told_to_though_a_question_waits_for_a_load(tmp_path: Path) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        reached.set()
        go_on.wait(60)

    with Sandbox(account(), token=TOKEN, faults=[Hook(hold, at=1)]) as sandbox:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, "--base-url", sandbox.url],
            env=environment(TOKEN, XDG_DATA_HOME=str(tmp_path)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}}
        hello["clientInfo"] = {"name": "a test", "version": "1"}
        for message in (
            {"id": 1, "method": "initialize", "params": hello},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": {"name": "forecast", "arguments": {}}},
        ):
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            process.stdin.flush()
        try:
            assert reached.wait(60)
            process.terminate()
            out, _ = process.communicate(timeout=30)
        finally:
            go_on.set()
            process.kill()
    assert process.returncode == 143
    assert [json.loads(line)["id"] for line in out.splitlines()] == [1]
