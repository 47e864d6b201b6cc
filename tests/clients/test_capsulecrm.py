"""``capsulecrm-python``, which knows Capsule and asks for one page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sums
from capsulecrm.client import Client

if TYPE_CHECKING:
    import capsule_analytics as ca
    from capsule_analytics.sandbox import Sandbox


def test_v2(sandbox: Sandbox, sample: ca.Pipeline) -> None:
    client = Client("id", "secret")
    client.base_url = sandbox.url + "/api/v2/"
    client.set_token({"access_token": sandbox.token})
    deals = []
    for number in range(1, 100):
        page: dict[str, Any] = client.list_opportunities(
            page=number, perpage=100, embed="tags,fields"
        )
        deals += page["opportunities"]
        if not page["opportunities"]:
            break
    milestones = [client._get(f"milestones/{sums.GONE}")["milestone"]]
    pipelines = client._get("pipelines", params={"includeDeleted": "true"})["pipelines"]
    for pipeline in pipelines:
        milestones += client._get(f"pipelines/{pipeline['id']}/milestones")["milestones"]
    assert sums.of_v2(deals, milestones) == sums.of_pipeline(sample)
    assert sums.names(milestones) == sums.names_of(sample)
