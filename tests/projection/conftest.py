"""Accounts that several tests look at, grown once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from grown_accounts import grown

from capsule_analytics.projection import Projection, fit

if TYPE_CHECKING:
    from capsule_analytics.schema import Pipeline


@pytest.fixture(scope="session")
def snapshots() -> list[Pipeline]:
    return grown(16)


@pytest.fixture(scope="session")
def model(snapshots: list[Pipeline]) -> Projection:
    return fit(snapshots)
