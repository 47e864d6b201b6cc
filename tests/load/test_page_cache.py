"""Pages kept on disk: taken up after a failure, and fetched again where they were damaged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_account import account, deal

import capsule_analytics as ca
from capsule_analytics.api import Query
from capsule_analytics.errors import CapsuleError
from capsule_analytics.load import _cache
from capsule_analytics.load._cache import PageCache
from capsule_analytics.load._complete import Changes
from capsule_analytics.sandbox import Fault, Sandbox

NOW = datetime.now(UTC).replace(microsecond=0)


def is_page(asked: object) -> bool:
    path, query = asked.path, asked.query  # type: ignore[attr-defined]
    return path.endswith(("/opportunity", "/opportunities")) and not (
        {"since", "lastmodified"} & set(query)
    )


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 40, b"{}\n{}\n", b'{"a":1}\n<a/>', None])
def test_a_damaged_page_is_fetched_again(
    version: str, damage: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(_cache, "WORTH_KEEPING", 0)
    data = account() | {"opportunities": [deal(n, f"Deal {n}") for n in range(1, 41)]}
    with Sandbox(data, page_limit=10) as sandbox, ca.CapsuleClient(
        token=sandbox.token, base_url=sandbox.url, api_version=version
    ) as client:  # fmt: skip
        sandbox.faults.add(
            Fault("status", status=500, times=1, when=lambda a: is_page(a) and "3" in str(a.query))
        )
        with pytest.raises(CapsuleError, match="500"):
            ca.load_pipeline(client, workers=1, page_size=10, resume=True)
        pages = sorted(tmp_path.rglob("*.page"))
        assert len(pages) > 1
        kept = pages[0].read_bytes()
        # What still can be read is the worst: a digit that became another.
        pages[0].write_bytes(kept.replace(b"Deal 7", b"Deal 8") if damage is None else damage)
        before = len(sandbox.requests)
        pipeline = ca.load_pipeline(client, workers=1, page_size=10, resume=True)
        asked = sum(is_page(request) for request in sandbox.requests[before:])
    assert pipeline.opportunities["name"].tolist() == [f"Deal {n}" for n in range(1, 41)]
    assert asked == 4 - len(pages) + 1 + (version == "v1")
    assert not list(tmp_path.rglob("*.page"))


states = st.sampled_from(["saved", "began", "changes"])


@given(
    st.one_of(
        st.binary(max_size=40),
        st.dictionaries(
            states,
            st.one_of(st.integers(0, 9), st.just("2026-11-24T09:00:00"), st.text(max_size=5)),
            max_size=3,
        ).map(orjson.dumps),
    )
)
@settings(max_examples=60, deadline=None)
def test_a_damaged_beginning_is_no_beginning(tmp_path_factory: object, body: bytes) -> None:
    folder = tmp_path_factory.mktemp("cache")  # type: ignore[attr-defined]
    cache = PageCache("https://x", Query(), 100, folder)
    cache.begin(NOW, {"rows": [], "gone": []})
    assert cache.state() is not None
    (where,) = folder.rglob("began.json")
    where.write_bytes(body)
    assert cache.state() is None
    cache._write("began.json", b"", body)  # whole, but of another making
    state = cache.state()
    assert state is None or Changes.restored(state.changes) is None


def test_an_old_beginning_is_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = PageCache("https://x", Query(), 100, tmp_path)
    cache.begin(NOW, {"rows": [[1, "t", "d"]], "gone": [[2, "then"]]})
    state = cache.state()
    assert state is not None
    assert state.began == NOW
    changes = Changes.restored(state.changes)
    assert changes is not None
    assert (changes.ids, changes.gone) == ({1}, {2: "then"})
    monkeypatch.setattr(_cache, "_OLDEST", timedelta(0))
    assert cache.state() is None
