"""How time and memory grow with the deals: what one deal takes must not rise.

Each figure is of a process of its own, and counts from after its imports and its input: processor
seconds, and the most memory beyond that. So much is fixed in a small account that a deal costs less
the more there are.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import grown
from measure import Cost, apart, same, within
from pages import v1_pages, v2_pages
from served import served

import capsule_analytics as ca
from capsule_analytics.report import Options, write_report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES = (1_000, 10_000, 100_000, 1_000_000)
ROOM = 1.1
SMALL = 20e6
"""Below so many bytes a peak is what Python happens to have left over."""


def measure(*, heavy: bool) -> str:
    """Measure each at every size."""
    lines = [
        "| what | deals | processor seconds | microseconds a deal | peak, MB | kB a deal | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for what, (run, usual, most) in WHAT.items():
        largest = most if heavy else usual
        former: tuple[float, float] | None = None
        for count in (size for size in SIZES if size <= largest):
            cost = run(count)
            each = (1e6 * cost.cpu / count, cost.peak / 1e3 / count)
            judged = zip(each, former or each, (True, cost.peak > SMALL), strict=True)
            rises = any(now > ROOM * then and counts for now, then, counts in judged)
            reached = "" if former is None else "**rises**" if rises else "does not rise"
            lines.append(
                f"| {what} | {count:,} | {cost.cpu:.2f} | {each[0]:,.0f} | {cost.peak / 1e6:,.0f} "
                f"| {each[1]:,.1f} | {reached} |"
            )
            former = each
    return "\n".join(lines)


def parse(version: str, count: int) -> tuple[Cost, int]:
    """Read saved pages, in a process made for it."""
    pages = {"v1": v1_pages, "v2": v2_pages}[version]
    ca.opportunities_from_pages(pages(100), api_version=version)
    held = pages(count)
    return within(lambda: len(ca.opportunities_from_pages(held, api_version=version)))


def load(url: str, token: str) -> tuple[Cost, int]:
    """Load an account, in a process made for it."""
    with ca.CapsuleClient(token=token, base_url=url) as client:
        client.list_currencies()
        return within(lambda: len(ca.load_pipeline(client).opportunities))


def report(count: int) -> tuple[Cost, int]:
    """Write a report with its page, in a process made for it."""
    options = Options(html=True, projection=False)
    with tempfile.TemporaryDirectory() as folder:
        write_report(grown.pipeline(100), Path(folder), options)
        pipeline = grown.pipeline(count)
        cost, _ = within(lambda: write_report(pipeline, Path(folder), options))
    return cost, len(pipeline.opportunities)


def projection(count: int) -> tuple[Cost, int]:
    """Project six months, in a process made for it."""
    ca.projection.fit(grown.pipeline(100)).by_month(6)
    pipeline = grown.pipeline(count)
    cost, _ = within(lambda: ca.projection.fit(pipeline).by_month(6))
    return cost, len(pipeline.opportunities)


def _apart(function: Callable[..., object], given: Sequence[object], count: int) -> Cost:
    cost, found = apart(function, *given)
    same("deals", count, found)
    return cost


def _load(count: int) -> Cost:
    with served(grown.account(count), 0) as server:
        return _apart(load, (server.url, server.token), count)


WHAT: dict[str, tuple[Callable[[int], Cost], int, int]] = {
    "pages of v1 to the frame": (lambda n: _apart(parse, ("v1", n), n), 100_000, 1_000_000),
    "pages of v2 to the frame": (lambda n: _apart(parse, ("v2", n), n), 100_000, 1_000_000),
    "load over v2": (_load, 10_000, 1_000_000),
    "a report with its page, no projection": (
        lambda n: _apart(report, (n,), n),
        10_000,
        1_000_000,
    ),
    # A million would take a quarter of an hour.
    "projection, from one load": (lambda n: _apart(projection, (n,), n), 10_000, 100_000),
}
"""What is measured, up to how many deals, and up to how many where more is asked for."""
