"""The sample account behind a sandbox, for clients that we did not write.

They and all that they bring have an environment of their own: ``make test-clients``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import capsule_analytics as ca
from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="session")
def sample() -> ca.Pipeline:
    return ca.load_sample()
