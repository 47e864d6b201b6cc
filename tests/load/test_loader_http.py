"""The loader and its transport against a server that misbehaves on purpose, over real sockets."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_account import account, deal

import capsule_analytics as ca
from capsule_analytics import _deadline
from capsule_analytics.api import _transport
from capsule_analytics.errors import (
    ApiError,
    ArgumentError,
    AuthenticationError,
    CapsuleError,
    CompletenessError,
    DataError,
    NotFoundError,
    RateLimitError,
    TransportError,
)
from capsule_analytics.sandbox import Account, Fault, Hook, Sandbox

VERSIONS = ("v1", "v2")


def many(count: int) -> dict[str, Any]:
    """Build an account of so many deals."""
    return account() | {"opportunities": [deal(n, f"Deal {n}") for n in range(1, count + 1)]}


def is_page(asked: Any) -> bool:
    """Tell a request for a page of the whole list from questions about changes."""
    return asked.path.endswith(("/opportunity", "/opportunities")) and not (
        {"since", "lastmodified"} & set(asked.query)
    )


def connect(sandbox: Sandbox, version: str, **options: Any) -> ca.CapsuleClient:
    return ca.CapsuleClient(
        token=sandbox.token, base_url=sandbox.url, api_version=version, **options
    )


def load(sandbox: Sandbox, version: str, **options: Any) -> ca.Pipeline:
    with connect(sandbox, version) as client:
        return ca.load_pipeline(client, **options)


pytestmark = pytest.mark.usefixtures("no_backoff")


class TestComplete:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
    def test_every_page_is_read(self, version: str, count: int) -> None:
        with Sandbox(many(count)) as sandbox:
            pipeline = load(sandbox, version)
        assert pipeline.opportunities.index.tolist() == list(range(1, count + 1))

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_short_page_is_not_the_end(self, version: str) -> None:
        with Sandbox(many(57), page_limit=10) as sandbox:
            pipeline = load(sandbox, version)
        assert len(pipeline.opportunities) == 57

    def test_pages_of_unlike_length_are_advanced_by_what_was_received(self) -> None:
        """A server whose pages hold 7, 1, 7, 1, … records loses nothing."""
        sizes = itertools.cycle([7, 1])
        page_of = Account.opportunities
        with Sandbox(many(40)) as sandbox, connect(sandbox, "v1") as client:
            fetch, lock = client.fetch_page, threading.Lock()

            def uneven(query: Any, position: int, limit: int) -> Any:
                with lock:
                    size = next(sizes)
                return fetch(query, position, min(limit, size))

            client.fetch_page = uneven  # type: ignore[method-assign]
            pipeline = ca.load_pipeline(client)
        assert page_of is Account.opportunities
        assert len(pipeline.opportunities) == 40

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_deletion_between_two_pages_hides_no_deal(self, version: str) -> None:
        with Sandbox(many(250)) as sandbox:
            sandbox.faults.add(
                Hook(lambda acc: acc.delete(5), when=is_page, times=1, moment="after")
            )
            pipeline = load(sandbox, version, workers=1)
            assert set(pipeline.opportunities.index) == {n for n in range(1, 251) if n != 5}

    @settings(max_examples=12, deadline=None)
    @given(
        version=st.sampled_from(VERSIONS),
        cap=st.integers(3, 40),
        order=st.sampled_from(["id", "-id", "updated", "-updated", "name"]),
        workers=st.integers(1, 6),
        changes=st.lists(
            st.tuples(st.integers(1, 6), st.sampled_from(["create", "update", "delete"])),
            max_size=4,
        ),
    )
    def test_changes_while_it_loads(
        self, version: str, cap: int, order: Any, workers: int, changes: list[tuple[int, str]]
    ) -> None:
        pages = Counter[str]()

        def change(live: Account) -> None:
            pages["asked"] += 1
            for at, kind in changes:
                if at != pages["asked"]:
                    continue
                ids = [record["id"] for record in live.opportunities("id")]
                if kind == "create":
                    live.create({"name": "new", "party": {"id": 10}, "milestone": {"id": 2}})
                elif kind == "update":
                    live.update(ids[-1], {"name": f"changed {at}"})
                else:
                    live.delete(ids[0])

        with Sandbox(many(60), page_limit=cap, order=order) as sandbox:
            sandbox.faults.add(Hook(change, when=is_page, times=None, moment="after"))
            try:
                pipeline = load(sandbox, version, workers=workers)
            except CompletenessError:
                assert changes
                return
            names = {record["id"]: record["name"] for record in sandbox.account.opportunities("id")}
        assert pipeline.opportunities["name"].to_dict() == names

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_page_that_repeats_for_ever_is_an_error(self, version: str) -> None:
        with Sandbox(many(250)) as sandbox:
            sandbox.faults.add(Fault("repeat", times=None, when=is_page))
            with pytest.raises(CompletenessError, match="same records again and again"):
                load(sandbox, version)

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_server_that_ignores_the_time_of_change_is_read_twice(self, version: str) -> None:
        with Sandbox(many(30)) as sandbox:
            sandbox.faults.add(Fault("ignore_since", times=None))
            assert len(load(sandbox, version).opportunities) == 30

    def test_without_pagination_headers_an_empty_page_is_the_end(self) -> None:
        with Sandbox(many(230)) as sandbox:
            sandbox.faults.add(Fault("no_has_more", times=None))
            assert len(load(sandbox, "v2").opportunities) == 230


class TestPatient:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize(
        "fault",
        [
            Fault("reset", times=2, when=is_page),
            Fault("truncate", times=2, when=is_page),
            Fault("cut", times=2, when=is_page),
            Fault("html", times=2, when=is_page),
            Fault("status", status=502, times=2, when=is_page),
            Fault("status", status=503, times=4, when=is_page, headers={"Retry-After": "0"}),
            Fault("status", status=504, times=2, when=is_page),
        ],
        ids=lambda fault: f"{fault.kind}-{fault.status}",
    )
    def test_passing_trouble_is_tried_again(self, version: str, fault: Fault) -> None:
        with Sandbox(many(120)) as sandbox:
            sandbox.faults.add(fault)
            assert len(load(sandbox, version, workers=1).opportunities) == 120

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize(
        ("fault", "error", "words"),
        [
            (Fault("reset", times=None, when=is_page), TransportError, "after 5 tries"),
            (Fault("cut", times=None, when=is_page), DataError, "after 5 tries"),
            (Fault("html", times=None, when=is_page), DataError, "an HTML page"),
            (Fault("status", status=503, times=None, when=is_page), ApiError, "503"),
        ],
        ids=["reset", "cut", "html", "503"],
    )
    def test_lasting_trouble_ends_after_five_tries(
        self, version: str, fault: Fault, error: type[CapsuleError], words: str
    ) -> None:
        with Sandbox(many(20)) as sandbox:
            sandbox.faults.add(fault)
            with pytest.raises(error, match=words):
                load(sandbox, version)
            assert sum(is_page(asked) for asked in sandbox.requests) == _transport.TRIES

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (401, AuthenticationError),
            (403, AuthenticationError),
            (404, NotFoundError),
            (500, ApiError),
        ],
    )
    def test_refusals_are_not_tried_again(
        self, version: str, status: int, error: type[CapsuleError]
    ) -> None:
        with Sandbox(many(20)) as sandbox:
            sandbox.faults.add(Fault("status", status=status, times=None, when=is_page))
            with pytest.raises(error, match=str(status)):
                load(sandbox, version)
            assert sum(is_page(asked) for asked in sandbox.requests) == 1

    def test_the_timeout_holds_over_all_tries(self) -> None:
        with Sandbox(many(5)) as sandbox, connect(sandbox, "v2", timeout=0.4) as client:
            sandbox.faults.add(Fault("delay", seconds=2.0, times=None, when=is_page))
            began = time.monotonic()
            with pytest.raises(TransportError, match="no answer in time"):
                ca.load_pipeline(client)
            assert time.monotonic() - began < 2

    @pytest.mark.parametrize("version", VERSIONS)
    def test_429_waits_until_the_reset_and_says_so_once(self, version: str) -> None:
        told: list[datetime] = []
        with (
            Sandbox(many(350)) as sandbox,
            connect(sandbox, version, on_wait=told.append) as client,
        ):
            reset = int(time.time()) + 3
            sandbox.faults.add(
                Fault(
                    "status",
                    status=429,
                    times=None,
                    when=lambda asked: is_page(asked) and asked.number > 4 and time.time() < reset,
                    headers={"X-RateLimit-Reset": str(reset)},
                )
            )
            pipeline = ca.load_pipeline(client)
            assert len(pipeline.opportunities) == 350
            refused = [asked.time for asked in sandbox.requests if asked.status == 429]
            later = [asked.time for asked in sandbox.requests if asked.time > max(refused)]
        assert len(told) == 1
        assert told[0].tzinfo is not None
        assert min(later) - max(refused) > 0.5, "no worker may ask on during the pause"

    def test_a_reset_further_away_than_an_hour_is_an_error(self) -> None:
        far = str(int(time.time()) + 9000)
        with Sandbox(many(5)) as sandbox:
            sandbox.faults.add(
                Fault("status", status=429, times=None, headers={"X-RateLimit-Reset": far})
            )
            with pytest.raises(RateLimitError, match="minutes"):
                load(sandbox, "v2")

    def test_requests_slow_down_near_the_limit_and_never_hit_it(self) -> None:
        with Sandbox(many(330), page_limit=10, rate_limit=60, rate_window=3) as sandbox:
            pipeline = load(sandbox, "v2")
            statuses = Counter(asked.status for asked in sandbox.requests)
        assert len(pipeline.opportunities) == 330
        assert statuses[429] <= 1

    def test_writes_are_sent_once(self) -> None:
        with Sandbox(many(3)) as sandbox, connect(sandbox, "v2") as client:
            client.list_milestones()
            client.list_currencies()
            sandbox.faults.add(
                Fault("status", status=503, times=None, when=lambda a: a.method != "GET")
            )
            with pytest.raises(ApiError, match="503"):
                client.create_opportunity(10, name="Once", milestone="Lead")
            assert sum(asked.method == "POST" for asked in sandbox.requests) == 1


class TestFast:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("workers", [1, 6])
    def test_pages_travel_together(self, version: str, workers: int) -> None:
        """So many pages are under way at once as there are workers, and never more."""
        under_way, peak, lock = 0, 0, threading.Lock()

        def enter(_: Account) -> None:
            nonlocal under_way, peak
            with lock:
                under_way += 1
                peak = max(peak, under_way)

        def leave(_: Account) -> None:
            nonlocal under_way
            with lock:
                under_way -= 1

        with Sandbox(many(1200)) as sandbox:
            sandbox.faults.add(Hook(enter, when=is_page, times=None, moment="before"))
            sandbox.faults.add(Fault("delay", seconds=0.05, when=is_page, times=None))
            sandbox.faults.add(Hook(leave, when=is_page, times=None, moment="after"))
            assert len(load(sandbox, version, workers=workers).opportunities) == 1200
        assert peak == workers

    def test_few_requests_are_wasted_past_the_end(self) -> None:
        with Sandbox(many(30)) as sandbox:
            load(sandbox, "v1")
            assert sum(is_page(asked) for asked in sandbox.requests) == 2

    @pytest.mark.parametrize("workers", [0, 9])
    def test_the_number_of_workers_is_bounded(self, workers: int) -> None:
        with Sandbox(many(1)) as sandbox, pytest.raises(ArgumentError, match="1 to 8"):
            load(sandbox, "v2", workers=workers)


class TestSafe:
    @pytest.mark.parametrize(
        "url",
        [
            "http://capsule.example",
            "ftp://127.0.0.1",
            "https://user:pw@host",
            "nonsense",
            "http://",
        ],
    )
    def test_unsafe_addresses_are_refused(self, url: str) -> None:
        with pytest.raises(ArgumentError):
            ca.CapsuleClient(token="t0ken", base_url=url)

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
    def test_plain_http_is_for_loopback(self, url: str) -> None:
        ca.CapsuleClient(token="t0ken", base_url=url).close()

    @pytest.mark.parametrize("token", ["", "two words", "new\nline", "t\u00f6ken"])
    def test_what_is_no_token_is_refused_without_showing_it(self, token: str) -> None:
        with pytest.raises(ArgumentError) as caught:
            ca.CapsuleClient("acme", token)
        assert not token or token not in str(caught.value)

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_redirect_carries_the_token_nowhere(self, version: str) -> None:
        with Sandbox(many(3)) as other, Sandbox(many(3)) as sandbox:
            sandbox.faults.add(Fault("redirect", url=f"{other.url}/api", times=None, when=is_page))
            with pytest.raises(TransportError, match="no other server"):
                load(sandbox, version)
            assert not other.requests

    def test_an_answer_past_the_size_limit_is_cut_off(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_deadline, "MAX_BYTES", 1_000_000)
        with Sandbox(many(3)) as sandbox:
            sandbox.faults.add(Fault("huge", size=50_000_000, times=None, when=is_page))
            with pytest.raises(TransportError, match="larger than 1,000,000 bytes"):
                load(sandbox, "v2")

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_bomb_does_not_go_off(self, version: str) -> None:
        with Sandbox(many(3)) as sandbox:
            sandbox.faults.add(Fault("bomb", times=None, when=is_page))
            with pytest.raises(DataError):
                load(sandbox, version)

    def test_loaded_at_is_the_servers_time(self) -> None:
        with Sandbox(many(3)) as sandbox:
            pipeline = load(sandbox, "v2")
        age = datetime.now(UTC) - pipeline.loaded_at.to_pydatetime()
        assert 0 <= age.total_seconds() < 60


class TestFilters:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_by_milestone_tag_and_owner(self, version: str) -> None:
        tom = {"id": 2, "username": "tom", "name": "Tom Reed"}
        data = account() | {
            "tags": [{"id": 1, "name": "VIP"}],
            "opportunities": [
                deal(1, "one", milestone={"id": 1, "name": "Lead"}),
                deal(2, "two", owner=tom),
                deal(3, "three", tags=[{"id": 1, "name": "VIP"}]),
            ],
        }
        with Sandbox(data) as sandbox:
            for option, expected in (
                ({"milestone": "Lead"}, [1]),
                ({"owner": "tom"}, [2]),
                ({"tag": "VIP"}, [3]),
            ):
                pipeline = load(sandbox, version, **option)
                assert pipeline.opportunities.index.tolist() == expected

    @pytest.mark.parametrize("version", VERSIONS)
    def test_an_unknown_milestone_names_the_valid_ones(self, version: str) -> None:
        with Sandbox(many(1)) as sandbox, pytest.raises(ArgumentError, match="Lead, Bid, Won"):
            load(sandbox, version, milestone="Bidd")
