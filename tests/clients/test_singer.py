"""A Singer tap on ``singer-sdk``: streams that say where things are, and their messages."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

import singer_sdk.typing as th
import sums
from singer_sdk import RESTStream, Tap
from singer_sdk.authenticators import BasicAuthenticator, BearerTokenAuthenticator
from singer_sdk.pagination import HeaderLinkPaginator, OffsetPaginator, SinglePagePaginator

if TYPE_CHECKING:
    from collections.abc import Iterable
    from urllib.parse import ParseResult

    import pytest
    import requests

    import capsule_analytics as ca
    from capsule_analytics.sandbox import Sandbox

ANY = th.CustomType({"type": ["object", "number", "string", "boolean", "null"]})
LIST = th.ArrayType(th.ObjectType(additional_properties=True))


def properties(*names: str, lists: tuple[str, ...] = ()) -> dict[str, Any]:
    """Say which keys a stream has."""
    kinds = {**dict.fromkeys(names, ANY), **dict.fromkeys(lists, LIST)}
    return th.PropertiesList(*(th.Property(name, kind) for name, kind in kinds.items())).to_dict()


MILESTONE = properties("id", "name", "complete", "probability", "pipeline")


class V2Stream(RESTStream["ParseResult"]):
    """A list of API v2, from page to page by the link."""

    replication_method = "FULL_TABLE"
    params: ClassVar[dict[str, str]] = {}

    @property
    def url_base(self) -> str:
        return f"{self.config['url']}/api/v2"

    @property
    def authenticator(self) -> BearerTokenAuthenticator:
        return BearerTokenAuthenticator(token=self.config["token"])

    def get_new_paginator(self) -> HeaderLinkPaginator:
        return HeaderLinkPaginator()

    def get_url_params(
        self,
        context: Any,  # noqa: ARG002 - the SDK's name
        next_page_token: ParseResult | None,
    ) -> dict[str, Any]:
        if next_page_token is None:
            return {"perPage": 100, **self.params}
        return dict(parse_qsl(next_page_token.query))


class Opportunities(V2Stream):
    name = "opportunities"
    path = "/opportunities"
    params: ClassVar[dict[str, str]] = {"embed": "tags,fields"}
    records_jsonpath = "$.opportunities[*]"
    schema = properties(
        "id", "milestone", "value", "durationBasis", "duration", lists=("tags", "fields")
    )


class Pipelines(V2Stream):
    name = "pipelines"
    path = "/pipelines"
    params: ClassVar[dict[str, str]] = {"includeDeleted": "true"}
    records_jsonpath = "$.pipelines[*]"
    schema = properties("id", "name")

    def get_child_context(
        self,
        record: dict[str, Any],
        context: Any,  # noqa: ARG002 - the SDK's name
    ) -> dict[str, Any]:
        return {"number": record["id"]}


class Milestones(V2Stream):
    name = "milestones"
    path = "/pipelines/{number}/milestones"
    parent_stream_type = Pipelines
    state_partitioning_keys: ClassVar[list[str]] = []
    records_jsonpath = "$.milestones[*]"
    schema = MILESTONE


class Gone(V2Stream):
    name = "gone"
    path = f"/milestones/{sums.GONE}"
    records_jsonpath = "$.milestone"
    schema = MILESTONE


class TapV2(Tap):
    """The account by API v2."""

    name = "tap-capsule-v2"
    config_jsonschema = properties("url", "token")

    def discover_streams(self) -> list[V2Stream]:
        return [kind(self) for kind in (Opportunities, Pipelines, Milestones, Gone)]


class Start(OffsetPaginator):
    """Offsets of API v1, where only an empty page is the end."""

    def has_more(self, response: requests.Response) -> bool:
        return bool(response.json()["opportunities"]["opportunity"])


class V1Stream(RESTStream[int]):
    """A list of API v1, as JSON."""

    replication_method = "FULL_TABLE"

    @property
    def url_base(self) -> str:
        return f"{self.config['url']}/api"

    @property
    def authenticator(self) -> BasicAuthenticator:
        return BasicAuthenticator(username=self.config["token"], password="x")

    @property
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/json"}

    def get_new_paginator(self) -> Any:
        return SinglePagePaginator()


class OpportunitiesV1(V1Stream):
    name = "opportunities"
    path = "/opportunity"
    records_jsonpath = "$.opportunities.opportunity[*]"
    schema = properties("id", "milestoneId", "currency", "value", "durationBasis", "duration")

    def get_new_paginator(self) -> Start:
        return Start(start_value=0, page_size=100)

    def get_url_params(
        self,
        context: Any,  # noqa: ARG002 - the SDK's name
        next_page_token: int | None,
    ) -> dict[str, Any]:
        return {"start": next_page_token or 0, "limit": 100}


class MilestonesV1(V1Stream):
    name = "milestones"
    path = "/opportunity/milestones"
    records_jsonpath = "$.milestones.milestone[*]"
    schema = properties("id", "name", "complete", "probability")


class TapV1(Tap):
    """The account by API v1."""

    name = "tap-capsule-v1"
    config_jsonschema = properties("url", "token")

    def discover_streams(self) -> list[V1Stream]:
        return [OpportunitiesV1(self), MilestonesV1(self)]


def records(messages: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Read a tap's messages, as a target would."""
    found = defaultdict(list)
    for message in map(json.loads, messages):
        if message["type"] == "RECORD":
            found[message["stream"]].append(message["record"])
    return found


def test_v2(sandbox: Sandbox, sample: ca.Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    TapV2(config={"url": sandbox.url, "token": sandbox.token}).sync_all()
    read = records(capsys.readouterr().out.splitlines())
    milestones = read["milestones"] + read["gone"]
    assert sums.of_v2(read["opportunities"], milestones) == sums.of_pipeline(sample)
    assert sums.names(milestones) == sums.names_of(sample)


def test_v1(sandbox: Sandbox, sample: ca.Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    TapV1(config={"url": sandbox.url, "token": sandbox.token}).sync_all()
    read = records(capsys.readouterr().out.splitlines())
    ours = sums.of_pipeline(sample)
    theirs = sums.of_v1(read["opportunities"], read["milestones"])
    assert (theirs.deals, theirs.tcv) == (ours.deals, ours.tcv)
