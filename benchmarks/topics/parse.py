"""Saved pages to the typed frame, against bare parsing and what one would use instead."""

from __future__ import annotations

import io
import json

import orjson
import pandas as pd
from lxml import etree
from measure import Row, in_turn, same, table
from pages import v1_pages, v2_pages
from readers import msgspec_reader, xml2arrow_reader

import capsule_analytics as ca
from capsule_analytics.api import api_of

RECORDS = 50_000


def measure(*, heavy: bool) -> str:  # noqa: ARG001 - every topic is asked so
    """Measure, after all have shown the same figures."""
    xml, js = v1_pages(RECORDS), v2_pages(RECORDS)
    name = f"{RECORDS:,} records"
    frame = ca.opportunities_from_pages(js, api_version="v2")
    same("records", RECORDS, len(frame), len(_read_xml(xml)), len(_normalized(js)))
    same(
        "value", frame["value"].sum(), ca.opportunities_from_pages(xml)["value"].sum(),
        _read_xml(xml)["value"].sum(), _normalized(js)["value.amount"].sum(),
    )  # fmt: skip
    ours, floor, page, peer = in_turn(
        lambda: ca.opportunities_from_pages(xml),
        lambda: [len(etree.fromstring(page)) for page in xml],
        lambda: [api_of("v1").parse_page(page, {}).size for page in xml],
        lambda: _read_xml(xml),
        runs=3,
    )
    bare = "bare etree.fromstring"
    rows = [
        Row(f"v1 to the frame, {name}", ours, bare, floor, 1.3),
        Row("of this, pages to columns of text", page, bare, floor),
        Row(f"v1 to the frame, {name}", ours, "pandas.read_xml a page", peer, 0.33),
    ]
    ours, floor, quick, page, peer = in_turn(
        lambda: ca.opportunities_from_pages(js, api_version="v2"),
        lambda: [json.loads(page) for page in js],
        lambda: [orjson.loads(page) for page in js],
        lambda: [api_of("v2").parse_page(page, {}).size for page in js],
        lambda: _normalized(js),
    )
    bare = "json.loads, its objects kept"
    rows += [
        Row(f"v2 to the frame, {name}", ours, bare, floor, 0.75),
        Row("of this, pages to columns of values", page, bare, floor),
        Row(f"v2 to the frame, {name}", ours, "orjson.loads, its objects kept", quick),
        Row(f"v2 to the frame, {name}", ours, "json.loads and pandas.json_normalize", peer),
    ]
    skipped = []
    for package, other, pages in (
        ("xml2arrow", xml2arrow_reader, xml),
        ("msgspec", msgspec_reader, js),
    ):
        try:
            read = other()
        except ImportError:
            skipped.append(f"`{package}` is not installed and was skipped.")
            continue
        version = "v1" if pages is xml else "v2"
        same("records", RECORDS, sum(len(read(page)["id"]) for page in pages))
        theirs, mine = in_turn(
            lambda read=read, pages=pages: [read(page) for page in pages],
            lambda version=version, pages=pages: [
                api_of(version).parse_page(page, {}).size for page in pages
            ],
        )
        rows.append(
            Row(f"{package}, pages to columns", theirs, f"our {version} pages to columns", mine)
        )
    return "\n\n".join([table(rows), *skipped])


def _read_xml(pages: list[bytes]) -> pd.DataFrame:
    return pd.concat([pd.read_xml(io.BytesIO(page)) for page in pages])


def _normalized(pages: list[bytes]) -> pd.DataFrame:
    return pd.json_normalize(
        [record for page in pages for record in json.loads(page)["opportunities"]]
    )
