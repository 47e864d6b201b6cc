"""What generated tests tried is told at the end, over all processes that they ran in."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tries import TRIES

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    TRIES.clear()
    try:
        yield
    finally:  # the report of the test carries them, from another process too
        item.user_properties += TRIES.items()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if "CAPSULE_TEST_LONG" not in os.environ:
        return
    tried: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            if report.when == "call":
                tried.update(dict(report.user_properties))
    terminalreporter.section("tries")
    for what, times in sorted(tried.items()):
        terminalreporter.write_line(f"{times:>9,}  {what}")
