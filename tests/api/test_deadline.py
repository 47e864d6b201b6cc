"""A request is over when its time is up, whatever trickles: real sockets, short times."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
import requests
from raw_server import HEAD, raw_server, says, trickles

import capsule_analytics as ca
from capsule_analytics import _deadline
from capsule_analytics.errors import CapsuleError, DataError, TransportError

TIMEOUT = 0.3
GZIP = b"\x1f\x8b\x08\0\0\0\0\0\0\3"  # and then blocks of nothing
SLACK = 0.5  # for a busy machine; the servers below go on without end


def seconds_until_it_fails(url: str, match: str, **options: Any) -> float:
    began = time.monotonic()
    with (
        ca.CapsuleClient(token="t0ken", base_url=url, timeout=TIMEOUT, **options) as client,
        pytest.raises(TransportError, match=match),
    ):
        client.list_currencies()
    return time.monotonic() - began


@pytest.mark.parametrize(
    "answer",
    [
        trickles(HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
        trickles(HEAD + b"\r\n", b" "),
        trickles(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        trickles(HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n", b" "),
        trickles(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        trickles(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: x\r\n"),
        trickles(b"", b"H"),
        trickles(HEAD, b"X-Slow: x\r\n"),
        trickles(HEAD + b"X-Slow: ", b"x"),
        trickles(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        trickles(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500, seconds=0),
        trickles(HEAD + b"Content-Encoding: gzip\r\n\r\n" + GZIP, b"\0\0\0\xff\xff"),
        trickles(b"HTTP/1.1 503 No\r\nContent-Length: 99999\r\n\r\n", b" "),
        trickles(b"", b""),
    ],
    ids=[
        "body of a length", "body without one", "chunks", "a chunk", "chunk size", "trailers",
        "status line", "headers", "one header", "100 Continue", "a flood of them", "empty gzip",
        "an error's body", "silence",
    ],
)  # fmt: skip
def test_what_trickles_is_given_up_in_time(answer: Any) -> None:
    with raw_server(answer) as (url, _):
        assert seconds_until_it_fails(url, "no answer in time") < TIMEOUT + SLACK


def test_a_slow_handshake_is_given_up_in_time() -> None:
    record = b"\x16\x03\x03\x40\x00"  # the head of 16 KiB of handshake, which then trickle
    with raw_server(trickles(record, b"\x02")) as (url, asked):
        secure = url.replace("http:", "https:")
        assert seconds_until_it_fails(secure, "no answer in time") < TIMEOUT + SLACK
    assert asked[0][:1] == b"\x16"


def test_a_server_that_takes_nothing_is_given_up_in_time() -> None:
    """The client sends more than the network's buffers hold, and nobody reads it."""
    with raw_server(lambda _, over: over.wait(10) and None) as (url, _):
        began = time.monotonic()
        with (
            ca.CapsuleClient(token="t0ken", base_url=url, timeout=TIMEOUT) as client,
            pytest.raises(CapsuleError),
        ):
            client.list_opportunities(tag="x" * 50_000_000)
        assert time.monotonic() - began < TIMEOUT + SLACK + 1  # the body is big to make


def test_finding_the_host_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's look-up of names has no limit of its own."""
    found = threading.Event()

    def slow(*_: Any, **__: Any) -> Any:
        found.wait(10)
        raise socket.gaierror("too late")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        spent = seconds_until_it_fails("https://capsule.invalid", "no answer in time")
        assert spent < TIMEOUT + SLACK
    finally:
        found.set()


def test_all_addresses_of_a_host_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = listening.getsockname()
    full = [socket.socket() for _ in range(4)]  # its queue takes no more connections
    for other in full:
        other.settimeout(0)
        other.connect_ex(address)
    one = (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [one] * 8)
    spent = seconds_until_it_fails(f"http://127.0.0.1:{address[1]}", "no answer in time")
    for other in [*full, listening]:
        other.close()
    assert spent < TIMEOUT + SLACK


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n",
        b"",
    ],
    ids=["body", "chunk", "100 Continue"],
)
def test_what_floods_is_cut_off(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_deadline, "MAX_BYTES", 1_000_000)
    drop = b"0" * 65536 if head else b"HTTP/1.1 100 Continue\r\n\r\n" * 1000
    with (
        raw_server(trickles(head, drop, seconds=0)) as (url, asked),
        ca.CapsuleClient(token="t0ken", base_url=url, timeout=20) as client,
        pytest.raises(TransportError, match="larger than 1,000,000 bytes"),
    ):
        client.list_currencies()
    assert len(asked) == 1, "another try would be cut off too"


def test_what_is_packed_small_is_cut_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip  # noqa: PLC0415 - here alone

    monkeypatch.setattr(_deadline, "MAX_BYTES", 1_000_000)
    body = gzip.compress(b" " * 50_000_000)
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with (
        raw_server(says(head + body)) as (url, _),
        ca.CapsuleClient(token="t0ken", base_url=url) as client,
        pytest.raises(TransportError, match="larger than 1,000,000 bytes"),
    ):
        client.list_currencies()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_body_of_millions_of_values_is_refused_before_it_is_parsed(version: str) -> None:
    many = {
        "v1": b"<opportunities>" + b"<a/>" * 1_100_000 + b"</opportunities>",
        "v2": b'{"opportunities":[' + b"{}," * 600_000 + b"{}]}",
    }
    with pytest.raises(DataError, match="more than 1,000,000 values"):
        ca.opportunities_from_pages([many[version]], api_version=version)


def test_a_long_text_is_no_reason_to_refuse() -> None:
    page = b'{"opportunities":[{"id":1,"name":"x","description":"%s"}]}' % (b"a" * 2_000_000)
    assert ca.opportunities_from_pages([page], api_version="v2").index.tolist() == [1]


def test_connections_are_used_again() -> None:
    body = b'{"currencies":["EUR"]}'
    answer = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body

    def several(conn: socket.socket, _: threading.Event) -> None:
        conn.sendall(answer)
        while conn.recv(65536):
            conn.sendall(answer)

    with (
        raw_server(several) as (url, asked),
        ca.CapsuleClient(token="t0ken", base_url=url, timeout=5) as client,
    ):
        for _ in range(3):
            client._currencies = None
            assert client.list_currencies() == ["EUR"]
    assert len(asked) == 1


def test_a_proxy_that_trickles_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(trickles(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n")) as (url, asked):
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        assert requests.utils.get_environ_proxies("https://capsule.invalid")
        spent = seconds_until_it_fails("https://capsule.invalid", "no answer in time")
    assert asked[0].startswith(b"CONNECT")
    assert spent < TIMEOUT + SLACK
