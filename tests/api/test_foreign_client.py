"""A Capsule client that others wrote takes the sandbox for Capsule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sandbox_account import account

from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

client_module = pytest.importorskip("capsulecrm.client", reason="needs capsulecrm-python")
errors = pytest.importorskip("capsulecrm.exceptions")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(account()) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Any:
    made = client_module.Client("id", "secret")
    made.base_url = sandbox.url + "/api/v2/"
    made.set_token({"access_token": sandbox.token})
    return made


def test_it_lists_page_by_page(client: Any) -> None:
    pages = [client.list_opportunities(page=page, perpage=4, embed="tags") for page in (1, 2)]
    names = [deal["name"] for page in pages for deal in page["opportunities"]]
    assert names == ["Website", "Support", "Rollout", "Renewal", "Audit", "Imported"]
    assert pages[0]["opportunities"][1]["tags"] == [{"id": 1, "name": "key account"}]


def test_it_lists_what_changed(client: Any) -> None:
    changed = client.list_opportunities(since="2026-02-15T00:00:00Z")["opportunities"]
    assert [deal["id"] for deal in changed] == [103]


def test_it_shows_one_and_several(client: Any) -> None:
    assert client._get("opportunities/103")["opportunity"]["name"] == "Rollout"
    several = client._get("opportunities/103,101")["opportunities"]
    assert [deal["id"] for deal in several] == [103, 101]


def test_it_creates(client: Any, sandbox: Sandbox) -> None:
    made = client.create_oppotunity(
        {
            "name": "Theirs",
            "description": "made by another client",
            "party": {"id": 10},
            "milestone": {"id": 2},
            "value": {"amount": 250.75, "currency": "USD"},
            "probability": 35,
        }
    )["opportunity"]
    stored = sandbox.account.get(made["id"])
    assert stored is not None
    assert (stored["name"], stored["probability"]) == ("Theirs", 35)
    assert stored["value"] == {"amount": 250.75, "currency": "USD"}


def test_it_updates_and_deletes(client: Any, sandbox: Sandbox) -> None:
    client._put("opportunities/101", opportunity={"probability": 90})
    stored = sandbox.account.get(101)
    assert stored is not None
    assert stored["probability"] == 90
    assert client._delete("opportunities/101") is None
    assert sandbox.account.get(101) is None


def test_it_filters_and_orders(client: Any) -> None:
    found = client.filter_order_data(
        "opportunities",
        conditions=[{"field": "milestone", "operator": "is", "value": "Bid"}],
        order_by=[{"field": "name", "direction": "descending"}],
        page=1,
        per_page=3,
    )
    assert [deal["name"] for deal in found["opportunities"]] == ["Website", "Support", "Renewal"]


def test_it_lists_milestones_users_and_currencies(client: Any) -> None:
    # Those of the first pipeline, as Capsule's own answer is.
    assert len(client.list_milestone()["milestones"]) == 4
    assert client.get_current_user()["user"]["username"] == "sarah"
    assert len(client.list_users()["users"]) == 2
    assert {"code": "EUR", "symbol": "€"} in client.list_currencies()["currencies"]


def test_its_errors_are_the_right_ones(client: Any) -> None:
    with pytest.raises(errors.ValidationFailedError):
        client.create_oppotunity({"name": "Nothing else"})
    client.set_token({"access_token": "wrong"})
    with pytest.raises(errors.AuthenticationFailedError):
        client.list_opportunities()
