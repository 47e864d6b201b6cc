"""Which tests are slow: `make check` leaves them out, `make test` runs them all."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
import tenacity

# A worker a core is all that a machine can do: threads of linear algebra, two a worker on two
# cores, wait for each other and triple the time. Here, because numpy looks when it is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

HERE = Path(__file__).parent

# Clients that others wrote have an environment of their own: `make test-clients`.
collect_ignore = ["clients"]

# Folders, files and tests which start processes, servers, clusters or a browser, draw pictures, or
# take long for what they prove.
SLOW = (
    "api/test_foreign_client.py",
    "api/test_hostile_answers.py",
    "api/test_rate_limit.py",
    "api/test_v1_equals_v2.py",
    "benchmarks/test_daybook.py::test_the_oracle_holds_what_it_promises",
    "benchmarks/test_worlds.py",
    "calibration/test_backtest.py",
    "calibration/test_backtest_methods.py",
    "cli",
    "deals/test_engines.py",
    "deliver",
    "forecast/test_forecast.py::test_every_cent_is_in_the_table_once",
    "forecast/test_forecast.py::test_parts_of_an_account_add_up_to_the_whole",
    "forecast/test_forecast.py::test_the_order_of_rows_does_not_matter",
    "forecast/test_schedule_properties.py",
    "history/test_history_changes.py::test_the_parts_sum_to_the_closing_of_any_two_pipelines",
    "history/test_history_killed.py",
    "history/test_history_store.py",
    "house/test_docs.py",
    "house/test_gallery.py",
    "house/test_notebooks.py",
    "load/test_account_setting.py",
    "load/test_complete_model.py",
    "load/test_frame_properties.py",
    "load/test_fuzz.py",
    "load/test_live_shapes.py",
    "load/test_loader_completeness.py",
    "load/test_loader_http.py",
    "mcp/test_over_stdio.py",
    "plot",
    "portfolio",
    "report",
    "projection/test_pooling.py",
    "projection/test_projection.py::test_ranges_hold_what_they_promise_in_a_world_of_known_laws",
    "projection/test_projection.py::test_teams_and_parties_of_the_sample_add_up_to_the_whole",
    "projection/test_track_record.py",
    "risk/test_risk.py::test_two_hundred_thousand_deals",
    "risk/test_risk_properties.py",
    "sandbox",
    "test_sample_data.py",
    "api/test_client.py",
)


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tries and their order, but not the seconds between them."""
    monkeypatch.setattr("capsule_analytics.api._transport.BACKOFF", tenacity.wait_none())


@pytest.fixture
def fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reports of the same deals share a fit, where the test is not about the projection."""
    from fits import fit_once  # noqa: PLC0415 - imports pandas, and `make check` counts

    monkeypatch.setattr("capsule_analytics.projection.fit", fit_once)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            file = item.path.relative_to(HERE)
            test = f"{file.as_posix()}::{item.name.partition('[')[0]}"
            if not {test, *(room.as_posix() for room in (file, *file.parents))}.isdisjoint(SLOW):
                item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Take what was imported for good out of the garbage collector's rounds: 5 % of the suite."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Show the collector all again: what looks who holds an object finds nothing frozen."""
    gc.unfreeze()
