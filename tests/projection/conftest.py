"""Accounts that several tests look at, grown once."""

from __future__ import annotations

import pytest

from capsule_analytics.projection import Projection, fit
from capsule_analytics.schema import Pipeline

from grown_accounts import grown


@pytest.fixture(scope="session")
def snapshots() -> list[Pipeline]:
    return grown(16)


@pytest.fixture(scope="session")
def model(snapshots: list[Pipeline]) -> Projection:
    return fit(snapshots)
