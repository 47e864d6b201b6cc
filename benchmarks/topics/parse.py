"""Saved pages to the typed frame, against bare parsing and what one would use instead."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import orjson
import pandas as pd
from lxml import etree
from measure import Row, in_turn, same, table
from pages import v1_pages, v2_pages

import capsule_analytics as ca
from capsule_analytics.api import api_of

if TYPE_CHECKING:
    from collections.abc import Callable

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
    for package, other, pages in (("xml2arrow", _xml2arrow, xml), ("msgspec", _msgspec, js)):
        try:
            read = other()
        except ImportError:
            skipped.append(f"`{package}` is not installed and was skipped.")
            continue
        version = "v1" if pages is xml else "v2"
        same("records", RECORDS, sum(read(page) for page in pages))
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


def _xml2arrow() -> Callable[[bytes], int]:
    """Read pages with xml2arrow, behind what it would need: it finds few faults by itself."""
    import tempfile  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    import xml2arrow  # noqa: PLC0415 - a peer, not in the locks

    fields = [
        {"name": name, "xml_path": f"/opportunities/opportunity/{name}", "data_type": "Utf8",
         "nullable": True}
        for name in (
            "id", "name", "description", "partyId", "currency", "value", "durationBasis",
            "duration", "expectedCloseDate", "milestone", "milestoneId", "probability", "owner",
            "createdOn", "updatedOn", "actualCloseDate",
        )
    ]  # fmt: skip
    about = {"name": "all", "xml_path": "/opportunities", "levels": [], "fields": fields}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "columns.yaml"
        file.write_text(json.dumps({"tables": [about]}), encoding="utf-8")  # JSON is YAML
        parser = xml2arrow.XmlToArrowParser(file)

    def read(page: bytes) -> int:
        odd = b"<!" in page or b"xmlns" in page or not page.startswith(b'<?xml version="1.0" enc')
        found = parser.parse(page)["all"]
        if odd or found.num_rows != page.count(b"<opportunity>"):
            raise AssertionError("this page would go to lxml")
        return len({name: found.column(name).to_pylist() for name in found.schema.names}["id"])

    return read


def _msgspec() -> Callable[[bytes], int]:
    """Read pages into typed objects, and these into columns; what is odd would go to orjson."""
    from operator import attrgetter  # noqa: PLC0415

    import msgspec  # noqa: PLC0415 - a peer, not in the locks

    def struct(named_so: str, /, **types: Any) -> type:  # noqa: ANN401
        return msgspec.defstruct(
            named_so, [(key, kind | None, None) for key, kind in types.items()]
        )

    named = struct("Named", id=int, name=str)
    owner = struct("Owner", id=int, username=str)
    value = struct("Value", amount=float, currency=str)
    texts = ("name", "description", "durationBasis", "expectedCloseOn", "createdAt", "updatedAt",
             "closedOn", "lastStageChangedAt", "lastContactedAt")  # fmt: skip
    nested = {"party": named, "milestone": named, "lastOpenMilestone": named, "lostReason": named,
              "team": named, "owner": owner, "value": value}  # fmt: skip
    deal = struct(
        "Deal", id=int, duration=int, probability=float, **dict.fromkeys(texts, str), **nested
    )
    page_type = msgspec.defstruct("Page", [("opportunities", list[deal])])  # type: ignore[valid-type]
    decoder = msgspec.json.Decoder(page_type)
    plain = [attrgetter(key) for key in ("id", "duration", "probability", *texts)]
    parts = [
        (attrgetter(key), attrgetter(field))
        for key, kind in nested.items()
        for field in kind.__struct_fields__
    ]

    def read(page: bytes) -> int:
        deals = decoder.decode(page).opportunities
        columns = [list(map(take, deals)) for take in plain]
        for part, field in parts:
            columns.append([None if held is None else field(held) for held in map(part, deals)])
        return len(columns[0])

    return read
