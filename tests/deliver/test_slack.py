"""A post reaches a real HTTP server, or an error says why not, in time and without the address."""

from __future__ import annotations

import json
import time
import traceback
from typing import Any

import pytest
from raw_server import raw_server, says, trickles

from capsule_analytics.deliver import Message, Table, Webhook, send_slack
from capsule_analytics.deliver._slack import _body
from capsule_analytics.errors import ArgumentError, DeliveryError

PATH = "/services/T0001/B0002/sEcReTsEcReT"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MESSAGE = Message(
    "Sales forecast, R&D <Ltd>",
    ("£5 expected, of which <!channel> nothing.",),
    Table("By currency", ("Currency", "Won"), (("GBP", "5"),)),
    changes=Table("Changes", ("Change", "Deals"), (("New", "2"),), note="More in the report: EUR."),
    needs=Table(
        "Overdue",
        ("Deal", "Why"),
        (("A|B>", "late"), ("C", "")),
        links=("https://acme.capsulecrm.com/opportunity/7", ""),
    ),
    notes=("Read now.",),
)


def hook(url: str, timeout: float = 10.0) -> Webhook:
    return Webhook(url + PATH, timeout)


def failure(webhook: Webhook) -> str:
    with pytest.raises(DeliveryError) as caught:
        send_slack(MESSAGE, webhook)
    assert "sEcReT" not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_headline_changes_and_needs_are_posted() -> None:
    texts = [
        block["text"]["text"] for block in _body(MESSAGE)["blocks"] if block["type"] == "section"
    ]
    assert texts == [
        "£5 expected, of which &lt;!channel&gt; nothing.",
        "*Changes*\n• New: 2\nMore in the report: EUR.",
        "*Overdue*\n• <https://acme.capsulecrm.com/opportunity/7|A|B&gt;>: late\n• C: ",
    ]


def test_it_is_posted_once_as_json() -> None:
    with raw_server(says(OK)) as (url, asked):
        send_slack(MESSAGE, hook(url))
    (head,) = asked
    assert head.startswith(f"POST {PATH} HTTP/1.1\r\n".encode())
    body = head.partition(b"\r\n\r\n")[2]
    if body:  # it may come in a packet of its own
        assert json.loads(body)["text"] == "Sales forecast, R&amp;D &lt;Ltd&gt;"


def test_long_messages_keep_to_the_limits_of_slack() -> None:
    rows = tuple((f"Deal {number} " + "x" * 60, "late") for number in range(200))
    message = Message("s" * 300, ("h",), MESSAGE.outlook, needs=Table("N", ("D", "W"), rows))
    header, *sections = _body(message)["blocks"]
    assert len(header["text"]["text"]) == 150
    assert all(len(block["text"]["text"]) <= 3000 for block in sections)
    assert sections[-1]["text"]["text"].endswith("late")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            b"HTTP/1.1 500 No\r\nContent-Length: 48\r\n\r\nbroken\x1b[2J at " + PATH.encode(),
            "500: broken\\x1b[2J at ***",
        ),
        (b"HTTP/1.1 404 No\r\nContent-Length: 7\r\n\r\nno_team", "404: no_team"),
        (
            b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:9/x\r\nContent-Length: 0\r\n\r\n",
            "307: redirected, and the message goes to no other address",
        ),
        (b"", "the connection failed or was lost"),
        (b"nonsense", "the connection failed or was lost"),
    ],
)
def test_what_is_not_taken_is_told(answer: bytes, words: str) -> None:
    with raw_server(says(answer)) as (url, asked):
        assert failure(hook(url)) == f"Slack: {words}"
    assert len(asked) == 1


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nX: ", OK[:-2]])
def test_a_server_that_hangs_or_trickles_is_left_in_time(first: bytes) -> None:
    drop = b"" if not first else b"x" if b"X: " in first else b""
    with raw_server(trickles(first, drop, 0.02)) as (url, _):
        began = time.monotonic()
        assert failure(hook(url, 0.3)) == "Slack: no answer within 0.3 s; it may have been posted"
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com" + PATH,
        "https://user:word@hooks.slack.com" + PATH,
        "hooks.slack.com" + PATH,
        "https://[::1" + PATH,
        "https://hooks.slack.com" + PATH + "\n",
        "file://" + PATH,
    ],
)
def test_an_address_that_is_none_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        Webhook(url)
    shown: Any = "".join(traceback.format_exception(caught.value))
    assert "sEcReT" not in shown


def test_the_address_is_in_no_repr() -> None:
    assert "sEcReT" not in repr(Webhook("https://hooks.slack.com" + PATH))
