"""Airbyte's declarative runtime: a manifest, as its connectors are written, and their messages."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import sums
from airbyte_cdk.models import (
    AirbyteStream,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    SyncMode,
    Type,
)
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
    ConcurrentDeclarativeSource,
)

if TYPE_CHECKING:
    import capsule_analytics as ca
    from capsule_analytics.sandbox import Sandbox

BY_LINK = {
    "type": "DefaultPaginator",
    "page_token_option": {"type": "RequestPath"},
    "page_size_option": {
        "type": "RequestOption",
        "inject_into": "request_parameter",
        "field_name": "perPage",
    },
    "pagination_strategy": {
        "type": "CursorPagination",
        "page_size": 100,
        "cursor_value": "{{ headers['link']['next']['url'] }}",
        "stop_condition": "{{ 'next' not in headers['link'] }}",
    },
}
BY_START = {
    "type": "DefaultPaginator",
    "page_token_option": {
        "type": "RequestOption",
        "inject_into": "request_parameter",
        "field_name": "start",
    },
    "page_size_option": {
        "type": "RequestOption",
        "inject_into": "request_parameter",
        "field_name": "limit",
    },
    "pagination_strategy": {"type": "OffsetIncrement", "page_size": 100},
}


def stream(
    name: str,
    url: str,
    found_at: list[str],
    requester: dict[str, Any],
    paginator: dict[str, Any] | None = None,
    parameters: dict[str, str] | None = None,
    router: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Declare a stream: where its pages are, and where its records in them."""
    return {
        "type": "DeclarativeStream",
        "name": name,
        "primary_key": ["id"],
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object"}},
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester",
                "url": url,
                "http_method": "GET",
                "request_parameters": parameters or {},
                **requester,
            },
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": found_at},
            },
            "paginator": paginator or {"type": "NoPagination"},
            **({"partition_router": router} if router else {}),
        },
    }


def rows(*streams: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Read each stream of a manifest to its end."""
    catalog = ConfiguredAirbyteCatalog(
        streams=[
            ConfiguredAirbyteStream(
                stream=AirbyteStream(
                    name=one["name"], json_schema={}, supported_sync_modes=[SyncMode.full_refresh]
                ),
                sync_mode=SyncMode.full_refresh,
                destination_sync_mode=DestinationSyncMode.overwrite,
            )
            for one in streams
        ]
    )
    manifest = {
        "type": "DeclarativeSource",
        "version": "6.0.0",
        "check": {"type": "CheckStream", "stream_names": [streams[0]["name"]]},
        "streams": list(streams),
    }
    source = ConcurrentDeclarativeSource(
        catalog=catalog, config={}, state=[], source_config=manifest
    )
    found = defaultdict(list)
    for message in source.read(logging.getLogger("airbyte"), {}, catalog, []):
        if message.type == Type.RECORD:
            found[message.record.stream].append(dict(message.record.data))
    return found


def test_v2(sandbox: Sandbox, sample: ca.Pipeline) -> None:
    root = sandbox.url + "/api/v2"
    requester = {
        "authenticator": {"type": "BearerAuthenticator", "api_token": sandbox.token},
    }
    pipelines = stream(
        "pipelines",
        f"{root}/pipelines",
        ["pipelines"],
        requester,
        BY_LINK,
        {"includeDeleted": "true"},
    )
    router = {
        "type": "SubstreamPartitionRouter",
        "parent_stream_configs": [
            {
                "type": "ParentStreamConfig",
                "stream": pipelines,
                "parent_key": "id",
                "partition_field": "number",
            }
        ],
    }
    url = root + "/pipelines/{{ stream_partition.number }}/milestones"
    read = rows(
        stream(
            "opportunities",
            f"{root}/opportunities",
            ["opportunities"],
            requester,
            BY_LINK,
            {"embed": "tags,fields"},
        ),
        stream("milestones", url, ["milestones"], requester, BY_LINK, router=router),
        stream("gone", f"{root}/milestones/{sums.GONE}", ["milestone"], requester),
    )
    milestones = read["milestones"] + read["gone"]
    assert sums.of_v2(read["opportunities"], milestones) == sums.of_pipeline(sample)
    assert sums.names(milestones) == sums.names_of(sample)


def test_v1(sandbox: Sandbox, sample: ca.Pipeline) -> None:
    """Its offsets end at a page that is not full, and the sandbox fills every one but the last."""
    root = sandbox.url + "/api"
    requester = {
        "authenticator": {
            "type": "BasicHttpAuthenticator",
            "username": sandbox.token,
            "password": "x",
        },
        "request_headers": {"Accept": "application/json"},
    }
    read = rows(
        stream(
            "opportunities",
            f"{root}/opportunity",
            ["opportunities", "opportunity"],
            requester,
            BY_START,
        ),
        stream(
            "milestones",
            f"{root}/opportunity/milestones",
            ["milestones", "milestone"],
            requester,
        ),
    )
    ours = sums.of_pipeline(sample)
    theirs = sums.of_v1(read["opportunities"], read["milestones"])
    assert (theirs.deals, theirs.tcv) == (ours.deals, ours.tcv)
