"""``dlt``'s REST source: an account in a configuration, read by its own paginators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sums
from dlt.sources.rest_api import rest_api_source

if TYPE_CHECKING:
    from dlt.sources.rest_api import RESTAPIConfig

    import capsule_analytics as ca
    from capsule_analytics.sandbox import Sandbox


def rows(config: RESTAPIConfig) -> dict[str, list[dict[str, Any]]]:
    """Read each resource of a source to its end."""
    source = rest_api_source(config)
    return {name: list(resource) for name, resource in source.resources.items()}


def test_v2(sandbox: Sandbox, sample: ca.Pipeline) -> None:
    read = rows(
        {
            "client": {
                "base_url": sandbox.url + "/api/v2/",
                "auth": {"type": "bearer", "token": sandbox.token},
                "paginator": "header_link",
            },
            "resource_defaults": {"endpoint": {"params": {"perPage": 100}}},
            "resources": [
                {
                    "name": "opportunities",
                    "endpoint": {
                        "path": "opportunities",
                        "params": {"embed": "tags,fields"},
                        "data_selector": "opportunities",
                    },
                },
                {
                    "name": "pipelines",
                    "endpoint": {
                        "path": "pipelines",
                        "params": {"includeDeleted": "true"},
                        "data_selector": "pipelines",
                    },
                },
                {
                    "name": "milestones",
                    "endpoint": {
                        "path": "pipelines/{resources.pipelines.id}/milestones",
                        "data_selector": "milestones",
                    },
                },
                {
                    "name": "gone",
                    "endpoint": {"path": f"milestones/{sums.GONE}", "data_selector": "milestone"},
                },
            ],
        }
    )
    milestones = read["milestones"] + read["gone"]
    assert sums.of_v2(read["opportunities"], milestones) == sums.of_pipeline(sample)
    assert sums.names(milestones) == sums.names_of(sample)


def test_v1(sandbox: Sandbox, sample: ca.Pipeline) -> None:
    read = rows(
        {
            "client": {
                "base_url": sandbox.url + "/api/",
                "auth": {"type": "http_basic", "username": sandbox.token, "password": "x"},
                "headers": {"Accept": "application/json"},
            },
            "resources": [
                {
                    "name": "opportunities",
                    "endpoint": {
                        "path": "opportunity",
                        "data_selector": "opportunities.opportunity",
                        "paginator": {
                            "type": "offset",
                            "limit": 100,
                            "offset_param": "start",
                            "limit_param": "limit",
                            "total_path": None,
                        },
                    },
                },
                {
                    "name": "milestones",
                    "endpoint": {
                        "path": "opportunity/milestones",
                        "data_selector": "milestones.milestone",
                        "paginator": "single_page",
                    },
                },
            ],
        }
    )
    ours = sums.of_pipeline(sample)
    theirs = sums.of_v1(read["opportunities"], read["milestones"])
    assert (theirs.deals, theirs.tcv) == (ours.deals, ours.tcv)
