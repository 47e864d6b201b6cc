"""Trouble on demand, over real sockets."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
import requests
from lxml import etree
from sandbox_account import account

from capsule_analytics.errors import ArgumentError
from capsule_analytics.sandbox import Asked, Fault, Hook, Sandbox


def v1(sandbox: Sandbox, query: str = "", **options: Any) -> requests.Response:
    url = f"{sandbox.url}/api/opportunity{query}"
    return requests.get(url, auth=(sandbox.token, "x"), timeout=5, **options)


def v2(sandbox: Sandbox, query: str = "", **options: Any) -> requests.Response:
    headers = {"Authorization": "Bearer " + sandbox.token}
    url = f"{sandbox.url}/api/v2/opportunities{query}"
    return requests.get(url, headers=headers, timeout=5, **options)


def ids(answer: requests.Response) -> list[int]:
    return [record["id"] for record in answer.json()["opportunities"]]


def test_a_reset_strikes_once_and_is_logged() -> None:
    with Sandbox(account(), faults=[Fault("reset")]) as sandbox:
        with pytest.raises(requests.ConnectionError, match=r"reset|104"):
            v2(sandbox)
        assert v2(sandbox).status_code == 200
        assert [seen.status for seen in sandbox.requests] == [0, 200]


def test_a_truncated_answer_breaks_its_promise() -> None:
    with Sandbox(account(), faults=[Fault("truncate")]) as sandbox:
        answer = v2(sandbox, stream=True)
        promised = int(answer.headers["Content-Length"])
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            answer.content  # noqa: B018
        assert len(v2(sandbox).content) == promised


def test_a_cut_document_comes_in_whole_http() -> None:
    with Sandbox(account(), faults=[Fault("cut", times=2)]) as sandbox:
        with pytest.raises(json.JSONDecodeError):
            json.loads(v2(sandbox).content)
        with pytest.raises(etree.XMLSyntaxError):
            etree.fromstring(v1(sandbox).content)
        assert etree.fromstring(v1(sandbox).content).get("size") == "6"


def test_a_page_of_html_comes_with_status_200() -> None:
    with Sandbox(account(), faults=[Fault("html")]) as sandbox:
        answer = v1(sandbox)
        assert (answer.status_code, answer.content[:9]) == (200, b"<!DOCTYPE")


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503, 504])
def test_any_error_status(status: int) -> None:
    faults = [Fault("status", status=status, times=None, headers={"Retry-After": "7"})]
    with Sandbox(account(), faults=faults) as sandbox:
        for answer in (v1(sandbox), v2(sandbox)):
            assert (answer.status_code, answer.headers["Retry-After"]) == (status, "7")
            assert answer.content.startswith(b"<!DOCTYPE") == (status >= 500)


def test_a_redirect_leads_elsewhere() -> None:
    faults = [Fault("redirect", url="http://elsewhere.invalid/")]
    with Sandbox(account(), faults=faults) as sandbox:
        answer = v2(sandbox, allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (
            302,
            "http://elsewhere.invalid/",
        )


def test_a_delay_holds_the_answer_back() -> None:
    with Sandbox(account(), faults=[Fault("delay", seconds=0.3)]) as sandbox:
        assert v2(sandbox).elapsed.total_seconds() >= 0.3


def test_stopping_does_not_wait_for_a_delay() -> None:
    before = set(threading.enumerate())
    with Sandbox(account(), faults=[Fault("delay", seconds=60)]) as sandbox:
        with pytest.raises(requests.ReadTimeout):
            requests.get(sandbox.url + "/api/v2/opportunities", timeout=0.1)
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) <= before


def test_a_huge_answer_streams_and_may_be_left() -> None:
    with Sandbox(account(), faults=[Fault("huge", size=200_000), Fault("huge")]) as sandbox:
        assert len(v1(sandbox).content) == 200_000
        with v2(sandbox, stream=True) as answer:
            assert next(answer.iter_content(1_000_000)).startswith(b'{"opportunities":[')
        assert ids(v2(sandbox)) == [101, 102, 103, 104, 105, 106]


def test_a_server_may_serve_its_first_page_for_ever() -> None:
    with Sandbox(account(), faults=[Fault("repeat", times=None)]) as sandbox:
        assert ids(v2(sandbox, "?page=3&perPage=2")) == [101, 102]
        page = etree.fromstring(v1(sandbox, "?start=4&limit=2").content)
        assert page.xpath("opportunity/id/text()") == ["101", "102"]


def test_a_server_may_say_nothing_of_further_pages() -> None:
    with Sandbox(account(), faults=[Fault("no_has_more")]) as sandbox:
        silent = v2(sandbox, "?perPage=2")
        assert silent.headers.keys().isdisjoint({"Link", "X-Pagination-Has-More"})
        assert ids(silent) == [101, 102]
        assert "Link" in v2(sandbox, "?perPage=2").headers


def test_a_server_may_ignore_since() -> None:
    with Sandbox(account(), faults=[Fault("ignore_since", times=2)]) as sandbox:
        assert len(ids(v2(sandbox, "?since=2026-02-15T00:00:00Z"))) == 6
        page = etree.fromstring(v1(sandbox, "?lastmodified=20260215T000000").content)
        assert page.get("size") == "6"
        assert ids(v2(sandbox, "?since=2026-02-15T00:00:00Z")) == [103]


def test_a_bomb_is_small_until_it_is_read() -> None:
    with Sandbox(account(), faults=[Fault("bomb", times=2)]) as sandbox:
        bomb = v1(sandbox).content
        assert len(bomb) < 2_000
        # libxml2 works out what the entities would grow to, and gives up.
        with pytest.raises(etree.XMLSyntaxError):
            etree.fromstring(bomb)
        assert v2(sandbox).content.count(b"[") > 50_000


def test_a_fault_picks_its_requests_by_number_or_by_test() -> None:
    def is_page_two(asked: Asked) -> bool:
        return asked.version == "v2" and asked.query.get("page") == "2"

    faults = [Fault("status", status=500, at=2), Fault("status", status=502, when=is_page_two)]
    with Sandbox(account(), faults=faults) as sandbox:
        queries = ["?page=1", "?page=1", "?page=1", "?page=2", "?page=2"]
        assert [v2(sandbox, query).status_code for query in queries] == [200, 500, 200, 502, 200]


def test_faults_combine_and_can_be_added_later() -> None:
    with Sandbox(account()) as sandbox:
        assert ids(v2(sandbox, "?page=2&perPage=4")) == [105, 106]
        sandbox.faults.add(Fault("repeat"), Fault("no_has_more"))
        answer = v2(sandbox, "?page=2&perPage=4")
        assert ids(answer) == [101, 102, 103, 104]
        assert "Link" not in answer.headers


def test_the_account_changes_between_two_pages() -> None:
    # Deleting a deal of the first page moves 103 from the second page to the first.
    hooks = [Hook(lambda account: account.delete(101), at=1, moment="after")]
    with Sandbox(account(), faults=hooks) as sandbox:
        pages = [ids(v2(sandbox, f"?perPage=2&page={number}")) for number in (1, 2)]
    assert pages == [[101, 102], [104, 105]]


def test_a_hook_before_a_request_is_seen_by_it() -> None:
    hooks = [Hook(lambda account: account.delete(101), at=2)]
    with Sandbox(account(), faults=hooks) as sandbox:
        assert [len(ids(v2(sandbox))) for _ in range(3)] == [6, 5, 5]


def test_a_misspelt_fault_is_refused() -> None:
    with pytest.raises(ArgumentError, match="truncate"):
        Fault("truncated")  # type: ignore[arg-type]
