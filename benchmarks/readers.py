"""Faster readers of pages that were tried and left, and where they disagree with ours.

``python benchmarks/readers.py`` draws pages of many kinds with hypothesis, lets both read them, and
writes a table: what stands behind the word on them in docs/performance.md. Readers that are not
installed are skipped.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from capsule_analytics.api import api_of
from capsule_analytics.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Columns = dict[str, list[Any]]
    Reader = Callable[[bytes], Columns]

TRIES = 100
"""Pages of each kind."""

ELEMENTS = (
    "id", "name", "description", "partyId", "currency", "value", "durationBasis", "duration",
    "expectedCloseDate", "milestone", "milestoneId", "probability", "owner", "createdOn",
    "updatedOn", "actualCloseDate",
)  # fmt: skip
COLUMNS = (
    "id", "name", "description", "party_id", "currency", "value", "duration_basis", "duration",
    "expected_close", "milestone", "milestone_id", "probability", "owner", "created_at",
    "updated_at", "closed_at",
)  # fmt: skip
"""What ours calls the elements."""


class LeftToOursError(Exception):
    """A page that a guard before the faster reader would leave to ours."""


def guard(page: bytes) -> None:
    """Leave to ours what is not plainly UTF-8 without a DTD, a namespace or a comment."""
    if b"<!" in page or b"xmlns" in page or not page.startswith(b'<?xml version="1.0" enc'):
        raise LeftToOursError
    if page.partition(b"?>")[0].lower().find(b'"utf-8"') < 0:
        raise LeftToOursError


def xml2arrow_reader(*, guarded: bool = True) -> Reader:
    """Read pages of v1 with xml2arrow; it finds few faults by itself."""
    import xml2arrow  # noqa: PLC0415 - a peer, not in the locks

    path = "/opportunities/opportunity"
    fields = [
        {"name": name, "xml_path": f"{path}/{name}", "data_type": "Utf8", "nullable": True}
        for name in ELEMENTS
    ]
    about = {"name": "all", "xml_path": "/opportunities", "levels": [], "fields": fields}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "columns.yaml"
        file.write_text(json.dumps({"tables": [about]}), encoding="utf-8")  # JSON is YAML
        parser = xml2arrow.XmlToArrowParser(file)

    def read(page: bytes) -> Columns:
        if guarded:
            guard(page)
        found = parser.parse(page)["all"]
        if guarded and found.num_rows != page.count(b"<opportunity>"):
            raise LeftToOursError
        return {name: found.column(name).to_pylist() for name in found.schema.names}

    return read


def msgspec_reader() -> Reader:
    """Read pages of v2 into typed objects, and these into columns; the odd is an error."""
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
    plain = {key: attrgetter(key) for key in ("id", "duration", "probability", *texts)}
    parts = {
        (key, field): (attrgetter(key), attrgetter(field))
        for key, kind in nested.items()
        for field in kind.__struct_fields__
    }

    def read(page: bytes) -> Columns:
        deals = decoder.decode(page).opportunities
        columns: Columns = {key: list(map(take, deals)) for key, take in plain.items()}
        for (key, name), (part, field) in parts.items():
            columns[f"{key} {name}"] = [
                None if held is None else field(held) for held in map(part, deals)
            ]
        return columns

    return read


def ours(page: bytes) -> Columns:
    """Read a page of v1 as the package does, under the names of the elements."""
    columns = api_of("v1").parse_page(page, {}).columns
    return {element: columns[name] for element, name in zip(ELEMENTS, COLUMNS, strict=True)}


_TEXT = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"
    ),
    max_size=12,
)
_ESCAPE = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@st.composite
def _records(draw: st.DrawFn, odd: str) -> str:
    plain = [name for name in ELEMENTS[1:] if name not in {"owner", "probability"}]
    names = draw(st.lists(st.sampled_from(plain), unique=True, max_size=6))
    inner = [f"<id>{draw(st.integers(1, 99_999))}</id>"]
    inner += [f"<{name}>{draw(_TEXT).translate(_ESCAPE)}</{name}>" for name in names]
    written = _ODD_FIELDS.get(odd)
    if written is not None:
        inner.insert(draw(st.integers(0, len(inner))), written)
    space = draw(st.sampled_from(["", "\n  "]))
    return f"<opportunity>{space}{space.join(inner)}{space}</opportunity>"


_ODD_FIELDS = {
    "an empty element": "<owner/>",
    "an empty element, opened and closed": "<owner></owner>",
    "blanks within text": "<owner> a  b\n</owner>",
    "a carriage return": "<owner>a\r\nb</owner>",
    "a reference to a character": "<owner>a&#38;&#x1F600;</owner>",
    "a reference to a control character": "<owner>a&#1;b</owner>",
    "a control character": "<owner>a\x01b</owner>",
    "an unknown reference": "<owner>a&nbsp;b</owner>",
    "CDATA": "<owner><![CDATA[a < b]]></owner>",
    "a comment within text": "<owner>a<!-- no -->b</owner>",
    "an instruction within text": "<owner>a<?no ?>b</owner>",
    "an element within text": "<owner>a<b>c</b>d</owner>",
    "an element that comes twice, alike": "<team>x</team><team>x</team>",
    "a column that comes twice": "<probability>1</probability><probability>2</probability>",
    "an attribute": '<owner nil="true">a</owner>',
    "an attribute that comes twice": '<owner a="1" a="2">a</owner>',
    "another spelling": "<Owner>a</Owner>",
    "a namespace": '<owner xmlns="urn:x">a</owner>',
    "a record within a record": "<opportunity><id>9</id></opportunity>",
    "a record within another element": "<more><opportunity><id>9</id></opportunity></more>",
    "an element of the same name further down": "<party><name>Firm</name><id>3</id></party>",
    "a tag that is not closed": "<owner>a",
    "an ampersand of its own": "<owner>a & b</owner>",
}


_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


def _named(page: str, old: str, new: str) -> bytes:
    named = page.replace(f"<{old}>", f"<{new}>").replace(f"</{old}>", f"</{new}>")
    return f"{_HEAD}{named}".encode()


_ODD_PAGES: dict[str, Callable[[str], bytes]] = {
    "UTF-16": lambda page: _HEAD.replace("8", "16").encode("utf-16") + page.encode("utf-16-le"),
    "Latin-1": lambda page: (
        b'<?xml version="1.0" encoding="ISO-8859-1"?>' + page.encode("latin-1", "xmlcharrefreplace")
    ),
    "no declaration": lambda page: page.encode(),
    "a mark of the byte order": lambda page: b"\xef\xbb\xbf" + f"{_HEAD}{page}".encode(),
    "bytes that are no UTF-8": lambda page: f"{_HEAD}{page}".encode().replace(
        b"</id>", b"\xff</id>"
    ),
    "a DTD": lambda page: f'{_HEAD}<!DOCTYPE opportunities [<!ENTITY x "y">]>{page}'.encode(),
    "another root": lambda page: _named(page, "opportunities", "deals"),
    "another record": lambda page: _named(page, "opportunity", "deal"),
    "something after the end": lambda page: f"{_HEAD}{page}<more/>".encode(),
    "cut off": lambda page: f"{_HEAD}{page[: len(page) * 2 // 3]}".encode(),
}
KINDS = ("nothing odd", *_ODD_FIELDS, *_ODD_PAGES)


@st.composite
def pages(draw: st.DrawFn, odd: str) -> bytes:
    """Draw a page of v1 with one odd thing, or none."""
    records = "".join(draw(st.lists(_records(odd), min_size=1, max_size=3)))
    page = f"<opportunities>{records}</opportunities>"
    return _ODD_PAGES.get(odd, lambda page: f"{_HEAD}{page}".encode())(page)


def compare(kind: str, read: Reader) -> Counter[str]:
    """Count how a reader and ours agree on pages of a kind."""
    counts: Counter[str] = Counter()

    @settings(
        max_examples=TRIES, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @seed(5)
    @given(pages(kind))
    def each(page: bytes) -> None:
        counts[_outcome(page, read)] += 1

    each()
    return counts


def _outcome(page: bytes, read: Reader) -> str:
    try:
        wanted: Columns | None = ours(page)
    except DataError:
        wanted = None
    try:
        found: Columns | None = read(page)
    except LeftToOursError:
        return "left to ours"
    except Exception:  # noqa: BLE001 - a peer may raise anything
        found = None
    if wanted is None or found is None:
        told = ("read by neither", "refused by ours alone", "refused by it alone")
        return told[0 if wanted is found else 1 if wanted is None else 2]
    counts = {len(column) for column in found.values()}
    if counts != {len(wanted["id"])}:
        return "other records"
    return "alike" if found == wanted else "other values"


def lines() -> Iterator[str]:
    """Write a line for each kind of page."""
    bare, guarded = xml2arrow_reader(guarded=False), xml2arrow_reader()
    yield f"| v1 pages ({TRIES} of each kind) | xml2arrow | behind a guard |"
    yield "|---|---|---|"
    for kind in KINDS:
        told = [
            ", ".join(f"{outcome} {n / counts.total():.0%}" for outcome, n in counts.most_common())
            for counts in (compare(kind, bare), compare(kind, guarded))
        ]
        yield f"| {kind} | {' | '.join(told)} |"


if __name__ == "__main__":
    try:
        for line in lines():
            print(line, flush=True)
    except ImportError as error:
        raise SystemExit(f"{error.name} is not installed") from error
