"""Whatever a server sends: a frame with every record, or one of our errors."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tries import TRIES

import capsule_analytics as ca
from capsule_analytics.api import _transport
from capsule_analytics.errors import CapsuleError

if TYPE_CHECKING:
    import pandas as pd

TIMES = int(os.environ.get("CAPSULE_TEST_LONG", "1"))
"""How many times as many examples are tried; `make test-long` sets it."""

# Values as servers should not send them, beside those that they should.

words = st.one_of(
    st.sampled_from(
        ["", " ", "Bid", "2026-03-31T09:15:00Z", "2026-13-45", "FIXED", "1e999", "nan", "9" * 5000,
         "1_0", "true", "\u202eabc", "=1+1", "\ud7ff", "-0", "0x10", "\u0663", "</id>", "]]>"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
)  # fmt: skip
whole = st.one_of(
    st.integers(1, 9),
    st.sampled_from([0, -1, 2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1]),
)
scalars = st.one_of(
    st.none(), st.booleans(), whole, st.floats(allow_nan=False, allow_infinity=False), words
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)
ids = st.one_of(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), anything)
KEYS = (
    "name", "description", "party", "owner", "team", "milestone", "lastOpenMilestone", "value",
    "expectedCloseOn", "closedOn", "probability", "durationBasis", "duration", "lostReason",
    "createdAt", "updatedAt", "tags", "fields", "lastContactedAt", "lastStageChangedAt",
)  # fmt: skip
NESTED = ("id", "name", "amount", "currency", "username", "definition", "value", "isRestricted")
part = st.one_of(anything, st.dictionaries(st.sampled_from(NESTED), anything, max_size=3))
records = st.builds(
    lambda key, rest: ({} if key == "absent" else {"id": key}) | rest,
    st.one_of(ids, st.just("absent")),
    st.dictionaries(st.sampled_from(KEYS), part, max_size=6),
)
lists = st.lists(records, max_size=5)

ELEMENTS = (
    "id", "name", "description", "partyId", "currency", "value", "durationBasis", "duration",
    "expectedCloseDate", "milestone", "milestoneId", "probability", "owner", "createdOn",
    "updatedOn", "actualCloseDate", "other", "x:name", "ID",
)  # fmt: skip
contents = st.one_of(
    st.builds(escape, words),
    st.builds(str, whole),
    st.sampled_from(["a <b>bold</b> name", "1<!-- 2 -->3", "<![CDATA[1]]>", "&amp;", "<id>3</id>"]),
)
elements = st.lists(
    st.tuples(st.sampled_from(ELEMENTS[:16] * 4 + ELEMENTS), contents), max_size=6
).map(lambda found: "".join(f"<{name}>{text}</{name}>" for name, text in found))


class Xml(NamedTuple):
    """A record of v1, and the number that is its id, if it has a plain one."""

    text: str
    key: int | None


xml_records = st.one_of(
    st.builds(
        lambda key, rest: Xml(f"<opportunity><id>{key}</id>{rest}</opportunity>", key),
        st.integers(1, 20),
        elements.filter(lambda text: "<id>" not in text),
    ),
    st.builds(lambda rest: Xml(f"<opportunity>{rest}</opportunity>", None), elements),
    st.just(Xml("<Opportunity><id>1</id></Opportunity>", None)),
    st.just(Xml("<page><opportunity><id>1</id></opportunity></page>", None)),
)
xml_lists = st.lists(xml_records, max_size=5)


def xml_page(found: list[Xml]) -> bytes:
    inside = "".join(record.text for record in found)
    return f'<opportunities xmlns:x="urn:x">{inside}</opportunities>'.encode()


def json_page(found: list[dict[str, Any]]) -> bytes:
    """Write numbers of any size, which orjson would refuse."""
    return json.dumps({"opportunities": found}).encode()


@st.composite
def broken(draw: st.DrawFn, pages: st.SearchStrategy[bytes]) -> bytes:
    """Draw a page, now and then cut, with a byte changed, or something else altogether."""
    page = draw(pages)
    how = draw(st.integers(0, 12))
    at = draw(st.integers(0, max(len(page) - 1, 0)))
    if how == 0:
        return page[:at]
    if how == 1:
        return page[:at] + draw(st.binary(min_size=1, max_size=2)) + page[at + 1 :]
    if how == 2:
        return draw(st.sampled_from([b"", b"{}", b"[]", b"null", b"<html>", b"<a/>", b"\xff\xfe<"]))
    if how == 3:
        return page.decode("utf-8", "replace").encode("utf-16")
    return page


json_pages = st.builds(json_page, lists)
bodies = {"v1": broken(st.builds(xml_page, xml_lists)), "v2": broken(json_pages)}


def tell_pages(what: str, pages: list[Any]) -> None:
    TRIES[what] += len(pages)
    TRIES[f"{what}: lists of them"] += 1


def is_sound(frame: pd.DataFrame) -> None:
    """What holds of every frame, whatever it was made of."""
    assert frame.index.is_unique
    assert frame.index.dtype == "int64"
    assert set(frame["status"].unique()) <= {"open", "won", "lost"}
    chance = frame["probability"].dropna()
    assert ((chance >= 0) & (chance <= 1)).all()


@given(st.sampled_from(["v1", "v2"]).flatmap(
    lambda version: st.tuples(st.just(version), st.lists(bodies[version], max_size=4))
))  # fmt: skip
@settings(max_examples=150 * TIMES, deadline=None)
def test_any_pages_are_a_frame_or_an_error(given_pages: tuple[str, list[bytes]]) -> None:
    version, pages = given_pages
    tell_pages("broken pages", pages)
    try:
        frame = ca.opportunities_from_pages(pages, version)
    except CapsuleError:
        event("an error")
        return
    is_sound(frame)


@given(st.lists(lists, max_size=3))
@settings(max_examples=100 * TIMES, deadline=None)
def test_every_record_of_v2_is_in_the_frame(pages: list[list[dict[str, Any]]]) -> None:
    tell_pages("pages of odd records, v2", pages)
    frame = ca.opportunities_from_pages([json_page(page) for page in pages], "v2")
    is_sound(frame)
    given_ids = [record.get("id") for page in pages for record in page]
    plain = {key for key in given_ids if type(key) is int and -(2**63) <= key < 2**63}
    nothing = sum(key is None or isinstance(key, bool | list | dict) for key in given_ids)
    assert plain <= set(frame.index)
    assert len(plain) + nothing <= len(frame) <= len(given_ids)


@given(st.lists(xml_lists, max_size=3))
@settings(max_examples=100 * TIMES, deadline=None)
def test_every_record_of_v1_is_in_the_frame_or_the_page_is_refused(pages: list[list[Xml]]) -> None:
    tell_pages("pages of odd records, v1", pages)
    try:
        frame = ca.opportunities_from_pages([xml_page(page) for page in pages], "v1")
    except CapsuleError:
        text = "".join(record.text for page in pages for record in page)
        assert any(odd in text for odd in ("<Opp", "<ID>", "<x:name>", "<page>"))
        return
    is_sound(frame)
    given_ids = [record.key for page in pages for record in page]
    assert {key for key in given_ids if key is not None} <= set(frame.index)
    assert len(frame) <= len(given_ids)


# Loads over loopback.


class Answer(NamedTuple):
    """What the server sends."""

    body: bytes
    headers: dict[str, str]
    status: int = 200


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def do_GET(self) -> None:
        answer = self.server.answer(self.path)  # type: ignore[attr-defined]
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as found:
        found.daemon_threads = True
        threading.Thread(target=found.serve_forever, args=(0.02,), daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture(autouse=True)
def _one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends nonsense does so at once and for good."""
    monkeypatch.setattr(_transport, "TRIES", 1)


numbers = st.sampled_from(["inf", "nan", "-5", "1e400", "x", "", "0", "5000", "9" * 40])
headers = st.fixed_dictionaries(
    {},
    optional={
        "X-Pagination-Has-More": st.sampled_from(["true", "false", "TRUE", "maybe", ""]),
        "Link": st.sampled_from(
            ['<http://127.0.0.1/x?page=2>; rel="next"', '<x>; rel="prev"', "<", ";;", "rel=next"]
        ),
        "Date": st.sampled_from(
            ["Sun, 06 Nov 1994 08:49:37 GMT", "yesterday", "Sun, 06 Nov 99999 08:49:37 GMT", ""]
        ),
        "X-RateLimit-Limit": numbers,
        "X-RateLimit-Remaining": st.sampled_from(["5000", "x", "", "nan", "1e400"]),
        "X-RateLimit-Reset": numbers,
        "Content-Type": st.sampled_from(["text/html", "application/json; charset=utf-16", "x/"]),
        "Content-Encoding": st.sampled_from(["identity", "gzip", "x"]),
    },
)
MILESTONES = {
    "v1": b"<milestones><milestone><id>1</id><name>Bid</name><probability>50</probability>"
    b"<complete>false</complete></milestone></milestones>",
    "v2": b'{"milestones":[{"id":1,"name":"Bid","probability":50,"complete":false}]}',
}
NONE_GONE = {"v1": b"<deletedOpportunities/>", "v2": b'{"opportunities":[]}'}
deleted_rows = st.lists(
    st.fixed_dictionaries({"id": ids}, optional={"deletedAt": anything}), max_size=3
)
gone = {
    "v1": st.lists(contents, max_size=3).map(
        lambda found: (
            "<deletedOpportunities>"
            + "".join(f"<deletedOpportunity><id>{key}</id></deletedOpportunity>" for key in found)
            + "</deletedOpportunities>"
        ).encode()
    ),
    "v2": st.tuples(deleted_rows, deleted_rows).map(
        lambda both: json.dumps(
            {"opportunities": both[0], "restrictedOpportunities": both[1]}
        ).encode()
    ),
}


class Script(NamedTuple):
    """How a server answers each kind of request."""

    version: str
    pages: list[Answer]
    gone: list[Answer]
    milestones: Answer
    workers: int

    def answerer(self) -> Callable[[str], Answer]:
        asked = {"gone": 0}
        empty = NONE_GONE[self.version] if self.version == "v2" else b"<opportunities/>"

        def answer(path: str) -> Answer:
            parts = urlsplit(path)
            if "milestone" in parts.path:
                return self.milestones
            if parts.path.endswith("/deleted"):
                asked["gone"] += 1
                return self.gone[asked["gone"] % len(self.gone)]
            if not parts.path.endswith(("/opportunity", "/opportunities")):
                return Answer(b"", {}, 404)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if {"since", "lastmodified"} & query.keys():
                return Answer(empty, {})
            at = int(query["start"]) if self.version == "v1" else int(query["page"]) - 1
            return self.pages[at] if at < len(self.pages) else Answer(empty, {})

        return answer


def answers(found: st.SearchStrategy[bytes], usual: bytes | None = None) -> Any:
    return st.builds(
        Answer,
        found if usual is None else st.one_of(st.just(usual), st.just(usual), found),
        st.one_of(st.just({}), st.just({}), st.just({}), headers),
        st.sampled_from([200] * 60 + [204, 206, 301, 400, 401, 404, 418, 500]),
    )


scripts = st.sampled_from(["v1", "v2"]).flatmap(
    lambda version: st.builds(
        Script,
        st.just(version),
        st.lists(answers(bodies[version]), max_size=4),
        st.lists(answers(gone[version], NONE_GONE[version]), min_size=1, max_size=3),
        answers(bodies[version], MILESTONES[version]),
        st.integers(1, 3),
    )
)


@given(scripts)
@settings(max_examples=100 * TIMES, deadline=None)
def test_a_load_of_anything_is_a_pipeline_or_an_error(
    server: ThreadingHTTPServer, script: Script
) -> None:
    TRIES["loads over loopback"] += 1
    server.answer = script.answerer()  # type: ignore[attr-defined]
    with ca.CapsuleClient(
        token="t0ken-f0r-tests",
        base_url=f"http://127.0.0.1:{server.server_address[1]}",
        api_version=script.version,
        timeout=20,
    ) as client:
        try:
            pipeline = ca.load_pipeline(client, workers=script.workers)
        except CapsuleError as error:
            event(type(error).__name__)
            TRIES["loads over loopback: an error"] += 1
            pipeline, words = None, str(error)
    if pipeline is None:
        assert "t0ken-f0r-tests" not in words
        return
    event("a pipeline")
    is_sound(pipeline.opportunities)
    assert set(pipeline.issues["opportunity_id"].dropna()) <= set(pipeline.opportunities.index)
