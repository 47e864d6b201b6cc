"""What both wire formats hold to alike, each in its own bytes."""

from __future__ import annotations

import re
from decimal import Decimal
from types import ModuleType

import pytest

from capsule_analytics import opportunities_from_pages
from capsule_analytics.api import _v1, _v2
from capsule_analytics.errors import DataError

BOTH = pytest.mark.parametrize("wire", [_v1, _v2], ids=["v1", "v2"])


@BOTH
@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Decimal("2000.10"), b"2000.10"),
        (Decimal("1E+3"), b"1000"),
        (Decimal("0.0000001"), b"0.0000001"),
        (Decimal("123456789012345678.91"), b"123456789012345678.91"),
    ],
)
def test_amounts_are_written_exactly(wire: ModuleType, amount: Decimal, text: bytes) -> None:
    body = wire.create(5, {"value": amount}).body
    assert re.findall(rb'(?:<value>|"amount":)([^<},]+)', body) == [text]


@BOTH
@pytest.mark.parametrize(
    "text",
    [
        "Müller & Söhne <GmbH>",
        "\"quoted\" and 'single'",
        "two\nlines",
        "carriage\r\nreturn\tand tab",
        "emoji 🎯 and 日本",
        "]]> and &amp; as they stand",
    ],
)
def test_text_survives_the_way_there_and_back(wire: ModuleType, text: str) -> None:
    body = wire.create(5, {"name": text}).body
    assert wire.parse_opportunity(body)["name"] == text


@pytest.mark.parametrize(
    ("version", "page", "says"),
    [
        ("v1", b"<opportunities><opportunity><id>1</id></opportunity></opportunities>", "<oppor"),
        ("v2", b'{"opportunities": [{"id": 1}]}', "JSON"),
    ],
)
def test_a_saved_page_that_cannot_be_read_is_named_by_its_number(
    version: str, page: bytes, says: str
) -> None:
    with pytest.raises(DataError, match=f"page 2: expected {says}"):
        opportunities_from_pages([page, page[:-9]], api_version=version)
