"""What the commands print: no token, no escape sequence, one line for one thing."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest
from raw_server import HEAD, raw_server, says
from sandbox_account import account, deal

from capsule_analytics._safe_text import keep_secret, one_line, safe
from capsule_analytics.cli import _terminal, report, run, snapshot
from capsule_analytics.sandbox import Sandbox

ODD = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202e\u2066\u2028\x00\x7f"
SECRET = "0123456789abcdef-s3cret"


def printed(capfd: pytest.CaptureFixture[str]) -> str:
    out, err = capfd.readouterr()
    return out + err


def is_clean(words: str) -> bool:
    return all(char in "\t\n" or char.isprintable() for char in words)


@pytest.mark.filterwarnings("always")  # no font has these characters
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_names_reach_the_terminal_without_control_characters(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    odd = ODD if version == "v2" else "\x9b31m\r\u202e\u2066\u2028\x7f"  # as far as XML has them
    data = copy.deepcopy(account())
    data["users"][0]["username"] = f"sam{odd}"
    data["milestones"][0]["name"] = f"Lead{odd}"
    data["opportunities"] = [
        deal(1, f"one{odd}", owner=data["users"][0], milestone={"id": 1, "name": f"Lead{odd}"},
             value={"amount": 5, "currency": f"EUR{odd}"})
    ]  # fmt: skip
    with Sandbox(data, token=SECRET) as sandbox:
        monkeypatch.setenv("CAPSULE_TOKEN", SECRET)
        args = ["--base-url", sandbox.url, "--api-version", version, "--out", str(tmp_path / "r")]
        assert run(report, [*args, "--by", "owner", "--by", "milestone"]) == 0
        assert is_clean(words := printed(capfd)), repr(words)
        assert run(report, [*args, "--owner", "nobody"]) == 1
    assert is_clean(words := printed(capfd)), repr(words)
    assert "sam" in words


def test_what_was_typed_is_repeated_without_control_characters(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(report, ["--sample", "--out", str(tmp_path), f"--over{ODD}due"]) == 2
    assert run(report, ["--sample", "--out", str(tmp_path), "--period", ODD]) == 2
    assert is_clean(words := printed(capfd)), repr(words)


@pytest.mark.parametrize("verbose", [[], ["--verbose"]])
@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n%b\r\nabc",
        b"HTTP/1.1 %b OK\r\n\r\n",
        HEAD + b"%b\r\n\r\n",
        b'HTTP/1.1 401 No\r\nContent-Length: 90\r\nConnection: close\r\n\r\n{"message":"%b"}'
        + b" " * 60,
    ],
    ids=["chunk", "status", "header", "message"],
)
def test_servers_words_under_verbose_are_clean(
    answer: bytes, verbose: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("CAPSULE_TOKEN", SECRET)
    for echo in (SECRET.encode(), b"\x1b[2Jowned\x07", b"line\x0bError: forged"):
        with raw_server(says(answer % echo)) as (url, _):
            args = ["--base-url", url, "--out", str(tmp_path / "r"), "--timeout", "0.4"]
            assert run(report, [*args, *verbose]) == 1
        words = printed(capfd)
        assert is_clean(words), repr(words)
        assert SECRET not in words
        for line in words.splitlines():
            assert line.startswith(("Error: ", "because of ")), line


def test_one_thing_is_one_line() -> None:
    assert one_line("a\nError: b\r\n\tc") == "a Error: b c"
    assert safe("a\tb\nc") == "a\tb\nc"
    assert safe("Ünïcode 中文 عربى 🎉 [b]x[/b]") == "Ünïcode 中文 عربى 🎉 [b]x[/b]"


def test_a_secret_is_hidden_in_every_form() -> None:
    key = 'k3y/with+"odd"&chars'
    keep_secret(key)
    quoted = "k3y%2Fwith%2B%22odd%22%26chars"
    for form in (key, quoted, json.dumps(key), "K3Y/WITH+&quot;ODD&quot;&amp;CHARS"):
        assert "k3y" not in safe(f"before {form} after").lower()
    keep_secret("")
    keep_secret("abc")
    assert safe("abc is no token") == "abc is no token"


@pytest.mark.parametrize("name", ["--timeout", "--max-wait"])
@pytest.mark.parametrize("value", ["inf", "nan", "-1", "1e300", "x", "", "86401"])
@pytest.mark.parametrize("command", [report, snapshot])
def test_a_time_that_is_none_is_wrong_usage(
    name: str, value: str, command: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = ["--out" if command is report else "--store", str(tmp_path / "x")]
    assert run(command, ["--account", "acme", *place, f"{name}={value}"]) == 2
    assert "seconds" in printed(capfd)


def test_a_base_url_that_is_none_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAPSULE_TOKEN", SECRET)
    for url in ("http://[::1", "https://h:99999", "https://u:p4ss@[::1"):
        assert run(report, ["--base-url", url, "--out", str(tmp_path / "r")]) == 1
        words = printed(capfd)
        assert words.startswith("Error: the server's address is no http")
        assert words.count("\n") == 1


@pytest.mark.parametrize("command", [report, snapshot])
def test_waits_have_a_ceiling_in_both_commands(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("CAPSULE_TOKEN", SECRET)
    answer = b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: 300\r\n\r\n"
    with raw_server(says(answer)) as (url, _):
        place = ["--out" if command is report else "--store", str(tmp_path / "x")]
        assert run(command, ["--base-url", url, "--max-wait", "60", *place]) == 1
    assert "(in 5 minutes), later than the 60 seconds" in printed(capfd)


def test_a_snapshot_tells_its_waits_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server says that nothing remains for 1.2 seconds; it need not refuse anything."""
    monkeypatch.setenv("ACME", SECRET)
    told: list[float] = []
    announce = _terminal.announce_wait

    def noted(account: str) -> Any:
        tell = announce(account)
        return lambda until: (told.append(time.time()), tell(until))

    monkeypatch.setattr(_terminal, "announce_wait", noted)
    with Sandbox(account(), token=SECRET, rate_limit=6, rate_window=1.1) as sandbox:
        accounts = tmp_path / "a.toml"
        accounts.write_text(
            f'[[account]]\nname = "acme"\nbase-url = "{sandbox.url}"\ntoken-env = "ACME"\n'
        )
        assert run(snapshot, ["--accounts", str(accounts), "--store", str(tmp_path / "s")]) == 0
        asked = [request.time for request in sandbox.requests]
    assert told
    assert told[0] < asked[6], "before the request that had to wait"
    assert "acme: the request limit is used up; waiting until" in printed(capfd)
