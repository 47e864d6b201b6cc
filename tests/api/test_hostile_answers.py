"""Whatever a server answers, errors are ours, show no token, and drive no terminal."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_server import HEAD, raw_server, says

import capsule_analytics as ca
from capsule_analytics.errors import (
    ApiError,
    ArgumentError,
    CapsuleError,
    DataError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "s3cret-T0ken/with+odd&chars"
BASIC = base64.b64encode(f"{TOKEN}:x".encode())
FORMS = [TOKEN.encode(), BASIC, TOKEN.lower().encode(), b"s3cret-T0ken%2Fwith%2Bodd%26chars",
         b"s3cret-T0ken/with+odd&amp;chars"]  # fmt: skip


pytestmark = pytest.mark.usefixtures("no_backoff")


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def failure(answer: bytes, version: str = "v2", **options: Any) -> CapsuleError:
    """Return how a load fails on a server that always answers this."""
    with (
        raw_server(says(answer)) as (url, _),
        ca.CapsuleClient(
            token=TOKEN, base_url=url, api_version=version, timeout=5, max_wait=0, **options
        ) as client,
    ):
        try:
            ca.load_pipeline(client)
        except CapsuleError as error:
            return error
    return CapsuleError("what was echoed was taken for a value, and nothing failed")


def answers(echo: bytes) -> dict[str, bytes]:
    """Make answers that repeat something, each in another place."""

    def whole(body: bytes, head: bytes = HEAD) -> bytes:
        return head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body

    refused = b"HTTP/1.1 400 No\r\n"
    return {
        "status line": b"HTTP/1.1 400 %b\r\nContent-Length: 0\r\n\r\n" % echo,
        "no status line": echo + b"\r\n\r\n",
        "broken status": b"HTTP/1.1 %b OK\r\n\r\n" % echo,
        "version": b"HTTP/%b 200 OK\r\n\r\n" % echo,
        "message": whole(b'{"message":"no such token %b"}' % echo, refused),
        "errors": whole(b'{"message":"x","errors":[{"field":"%b","message":"m"}]}' % echo, refused),
        "xml": whole(b"<error><message>unknown token %b</message></error>" % echo, refused),
        "denied": whole(b'{"message":"token %b"}' % echo, b"HTTP/1.1 401 No\r\n"),
        "limited": whole(b'{"error":"%b"}' % echo, b"HTTP/1.1 429 No\r\nRetry-After: 999\r\n"),
        "redirect": b"HTTP/1.1 302 x\r\nLocation: https://%b.example/%b\r\n\r\n" % (echo, echo),
        "redirect here": b"HTTP/1.1 302 x\r\nLocation: //[::%b/\r\n\r\n" % echo,
        "chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n%b\r\nabc" % echo,
        "encoding": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n%b" % echo,
        "length": HEAD + b"Content-Length: %b\r\n\r\nabc" % echo,
        "header": HEAD + b"%b\r\nContent-Length: 3\r\n\r\nabc" % echo,
        "limit": whole(b"[]", HEAD + b"X-RateLimit-Reset: %b\r\nDate: %b\r\n" % (echo, echo)),
        "no json": whole(echo),
        "json": whole(b'{"%b": 1}' % echo),
        "no object": whole(b'{"milestones": "%b"}' % echo),
        "milestone": whole(b'{"milestones": [{"id": "%b", "name": "x"}]}' % echo),
        "element": whole(b"<%b/>" % echo),
        "end of an element": whole(b"<milestones><a></%b></milestones>" % echo),
        "attribute": whole(b"<milestones a=%b></milestones>" % echo),
        "entity": whole(b"<milestones>&%b;</milestones>" % echo),
        "charset": whole(b"<?xml version='1.0' encoding='%b'?><milestones/>" % echo),
        "id": whole(b"<milestones><milestone><id>%b</id></milestone></milestones>" % echo),
    }


PLACES = list(answers(b"x"))


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("place", PLACES)
def test_the_token_is_in_no_message(
    version: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for form in FORMS:
        error = failure(answers(form)[place], version)
        for part in chain(error):
            assert isinstance(part, CapsuleError), "another's words are not known to be clean"
        shown = "".join(traceback.format_exception(error)) + repr(error) + caplog.text
        for secret in (form.decode(), TOKEN, BASIC.decode()):
            assert secret.lower() not in shown.lower()


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("place", PLACES)
def test_escape_sequences_are_in_no_message(version: str, place: str) -> None:
    for odd in (b"\x1b[2J\x07", b"\xc2\x9b31m", "\u202eevil".encode()):
        for part in chain(failure(answers(odd)[place], version)):
            assert not set(str(part) + repr(part)) & set("\x1b\x07\x9b\u202e\r")


@pytest.mark.parametrize(
    "location",
    [b"http://[::1/x", b"//[", b"\xff", b"/\xff\xfe", b"http://\xff/", b"", b"http://", b"///",
     b"http://127.0.0.1:99999/", b"http://127.0.0.1:x/", b"javascript:1", b"\x00", b"http:// /",
     b"http://\xe2\x84\x80/", b"x" * 60000, b"?" * 500, b"//user:pw@127.0.0.1/"],
)  # fmt: skip
def test_a_redirect_to_nowhere_is_our_error(location: bytes) -> None:
    answer = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % location
    assert isinstance(failure(answer), TransportError)


@pytest.mark.parametrize(
    "header",
    [
        b"Date: Mon, 01 Jan 0001 00:00:00 +2359",
        b"Date: Fri, 31 Dec 9999 23:59:59 -2359",
        b"Date: Fri, 15 Jan 2027 08:00:00 +99999999999999",
        b"Date: \xff",
        b"X-RateLimit-Reset: inf\r\nX-RateLimit-Remaining: 0",
        b"X-RateLimit-Reset: 1e300\r\nX-RateLimit-Remaining: -1",
        b"X-RateLimit-Reset: -5\r\nX-RateLimit-Remaining: nan",
        b"Link: <\xff>; rel",
        b"Link: ;;,,<>=",
        b"X-Pagination-Has-More: \xff",
        b"Content-Type: \xff; charset=\xff",
        b"Set-Cookie: \xff=\xff; expires=Thu, 99-Xxx-0000",
    ],
)
def test_odd_headers_are_survived(header: bytes) -> None:
    """Of a load that fails only because the account is a picture of one."""
    body = (
        b'{"pipelines":[],"milestones":[],"opportunities":[],"currencies":[],"users":[],"teams":[],'
        b'"lostReasons":[],"definitions":[],"tags":[]}'
    )
    answer = HEAD + header + b"\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    with (
        raw_server(says(answer + body)) as (url, _),
        ca.CapsuleClient(token=TOKEN, base_url=url, timeout=5, max_wait=0) as client,
    ):
        try:
            assert ca.load_pipeline(client).opportunities.empty
        except CapsuleError:
            assert b"RateLimit-Remaining" in header or b"Link" in header


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    status=st.sampled_from([b"200", b"204", b"302", b"401", b"404", b"429", b"500", b"999"]),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"Date", b"Location", b"Link", b"X-RateLimit-Reset",
                             b"X-RateLimit-Remaining", b"Retry-After", b"Content-Length",
                             b"Content-Encoding", b"Transfer-Encoding", b"Set-Cookie"]),
            st.sampled_from([b"inf", b"nan", b"-1", b"http://[::1", b"gzip", b"deflate", b"chunked",
                             b"0", b"5", b"br", b"zstd"]) | st.binary(max_size=12),
        ),
        max_size=4,
    ),
    body=st.sampled_from([b"", b"{}", b"[" * 5000, b'{"milestones":[]}', b"5\r\nabcde\r\n0\r\n"])
    | st.binary(max_size=60),
)  # fmt: skip
def test_whatever_is_answered_errors_are_ours(
    status: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    lines = [b"%b: %b\r\n" % pair for pair in headers if not set(pair[1]) & {10, 13}]
    answer = b"HTTP/1.1 %b X\r\n%b\r\n%b" % (status, b"".join(lines), body)
    with (
        raw_server(says(answer)) as (url, _),
        ca.CapsuleClient(token=TOKEN, base_url=url, timeout=0.5, max_wait=0) as client,
        warnings.catch_warnings(),
    ):
        failed: CapsuleError | None = None
        try:
            client.fetch_milestones()
        except CapsuleError as error:
            failed = error
    assert all(isinstance(part, CapsuleError) for part in chain(failed))


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "https://[", "https://h:99999", "https://h:x", "https://h:-1", "https://h:0",
     "https://u:p@[::1", "https://\u2100", "https://h/\n", "https://h /", "https://h?x=1",
     "https://h#x", "//h", "", "https:/h", "https://"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        ca.CapsuleClient(token=TOKEN, base_url=url)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize("name", ["timeout", "max_wait"])
@pytest.mark.parametrize(
    "value", [float("inf"), float("nan"), -1, -0.0001, 86_401, 1e300, "3", None, True]
)
def test_a_time_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=name):
        ca.CapsuleClient("acme", TOKEN, **{name: value})


def test_no_time_at_all_is_for_waits_alone() -> None:
    ca.CapsuleClient("acme", TOKEN, max_wait=0).close()
    with pytest.raises(ArgumentError, match="timeout"):
        ca.CapsuleClient("acme", TOKEN, timeout=0)


@pytest.mark.parametrize("account", ["\u00e1cme", "\uff11", "a.b", "a/b", "a b", "-" * 3, ""])
def test_an_account_is_a_subdomain(account: str) -> None:
    with pytest.raises(ArgumentError, match="subdomain"):
        ca.CapsuleClient(account, TOKEN)


def test_errors_cross_to_other_processes() -> None:
    for error in (ApiError("no", 400), DataError("no"), TransportError("no")):
        same = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert (type(same), str(same)) == (type(error), str(error))
        assert getattr(same, "status", None) == getattr(error, "status", None)


def test_the_reason_for_a_failure_is_kept_in_plain_words() -> None:
    error = failure(HEAD + b"Content-Length: 99\r\n\r\nabc")
    causes = [str(part) for part in chain(error)]
    assert "cut off" in causes[0]
    assert any("IncompleteRead" in cause for cause in causes[1:])
    assert json.dumps(causes)
