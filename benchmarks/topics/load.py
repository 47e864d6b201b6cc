"""A load over the network, against other clients, fixed numbers of workers, and a full load."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import grown
import pandas as pd
import requests
from measure import BIN, Cost, Row, Timed, command, in_turn, one, same, table
from served import Server, served

import capsule_analytics as ca
from capsule_analytics import history
from capsule_analytics.cli import _recording  # what `capsule-snapshot` does, without its start
from capsule_analytics.load import _paging

if TYPE_CHECKING:
    from collections.abc import Callable

PEERS = 8_800
PACE = {0: 4_400, 5: 4_400, 50: 2_200, 150: 1_100}
"""Deals, by the milliseconds that an answer takes."""
FIXED = (1, 2, 3, 4, 6)
STORED = 20_000


def measure(*, heavy: bool) -> str:
    """Measure everything that waits for a server."""
    return "\n\n".join([_peers(heavy=heavy), _pace(heavy=heavy), _unchanged(heavy=heavy)])


def _ours(server: Server, workers: int = 6, version: str = "v2") -> ca.Pipeline:
    with ca.CapsuleClient(token=server.token, base_url=server.url, api_version=version) as client:
        return ca.load_pipeline(client, workers=workers)


def _script(server: Server) -> pd.DataFrame:
    """Load as a script of ten lines does: page after page, and no proof that all were seen."""
    records: list[dict[str, Any]] = []
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {server.token}"
        page, more = 1, True
        while more:
            answer = session.get(
                f"{server.url}/api/v2/opportunities",
                params={"page": page, "perPage": 100},
                timeout=30,
            )
            answer.raise_for_status()
            records += answer.json()["opportunities"]
            page, more = page + 1, answer.headers["X-Pagination-Has-More"] == "true"
    return pd.json_normalize(records)


def _dlt(server: Server) -> tuple[int, float]:
    """Load with dlt's REST source into DuckDB; return deals and their value."""
    import dlt  # noqa: PLC0415 - a peer, not in the locks
    from dlt.sources.rest_api import rest_api_source  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        source = rest_api_source(
            {
                "client": {
                    "base_url": f"{server.url}/api/v2/",
                    "auth": {"type": "bearer", "token": server.token},
                    "paginator": {"type": "page_number", "base_page": 1, "total_path": None},
                },
                "resources": [
                    {
                        "name": "opportunities",
                        "endpoint": {
                            "path": "opportunities",
                            "params": {"perPage": 100},
                            "data_selector": "opportunities",
                        },
                    }
                ],
            }
        )
        flow = dlt.pipeline(
            "bench",
            pipelines_dir=folder,
            destination=dlt.destinations.duckdb(str(Path(folder) / "bench.duckdb")),
            dataset_name="crm",
        )
        flow.run(source)
        with flow.sql_client() as client:
            # What came now whole, now with a fraction, dlt keeps in a column each.
            names = client.execute_sql(
                "SELECT column_name FROM information_schema.columns WHERE table_name ="
                " 'opportunities' AND column_name LIKE 'value__amount%'"
            )
            amount = " + ".join(f"coalesce({name}, 0)" for (name,) in names)
            rows = client.execute_sql(f"SELECT count(*), sum({amount}) FROM opportunities")
        return int(rows[0][0]), float(rows[0][1])


def _peers(*, heavy: bool) -> str:
    """Load the same deals with other clients; all must come to the same value."""
    skipped = ""
    clients: dict[str, Callable[[Server], tuple[int, float]]] = {
        "a script, page after page": lambda server: (
            len(frame := _script(server)), float(frame["value.amount"].sum())
        ),
    }  # fmt: skip
    try:
        import dlt  # noqa: F401, PLC0415
    except ImportError:
        skipped = "`dlt` is not installed and was skipped (`pip install dlt`)."
    else:
        os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
        clients["dlt's REST source into DuckDB"] = _dlt
    rows = []
    with served(grown.account(PEERS), 50) as server:
        loaded = _ours(server).opportunities["value"]
        for name, client in clients.items():
            count, value = client(server)
            same(f"deals of {name}", len(loaded), count)
            same(f"value of {name}", float(loaded.sum()), value)
            runs = 3 if heavy or "dlt" not in name else 1
            ours, theirs = in_turn(
                lambda: _ours(server), lambda client=client: client(server), runs=runs, warm=False
            )
            what = f"load {PEERS:,} deals at 50 ms, complete"
            rows.append(Row(what, ours, name, theirs, 1.0))
        other, script = in_turn(
            lambda: _ours(server, version="v1"), lambda: _ours(server), runs=1, warm=False
        )
        rows.append(Row("the same over v1", other, "over v2", script))
    return "\n\n".join(filter(None, [table(rows), skipped]))


def _fixed(workers: int) -> Callable[[Any], None]:
    def pace(reading: Any) -> None:  # noqa: ANN401 - a private object
        if reading._runs:  # noqa: SLF001
            reading._ahead = workers  # noqa: SLF001

    return pace


def _pace(*, heavy: bool) -> str:
    """Compare the number of workers that is found with fixed ones."""
    lines = [
        "| an answer takes | " + " | ".join(f"{n} workers" for n in FIXED)
        + " | as many as pay | ratio to the best fixed | goal | |",
        "|---|" + "---:|" * (len(FIXED) + 3) + "---|",
    ]  # fmt: skip
    for milliseconds, deals in PACE.items():
        with served(grown.account(deals), milliseconds) as server:

            def fixed(workers: int, server: Server = server) -> None:
                with mock.patch.object(_paging._Reading, "_set_pace", _fixed(workers)):  # noqa: SLF001
                    _ours(server)

            *each, ours = in_turn(
                *(lambda workers=workers: fixed(workers) for workers in FIXED),
                lambda server=server: _ours(server),
                runs=(7 if milliseconds < 50 else 3) * (1 + heavy),
            )
        # The least of each: what lies above it is the machine's.
        ratio = ours.least / min(timed.least for timed in each)
        reached = "reached" if ratio <= 1.1 else "**missed**"
        lines.append(
            f"| {milliseconds} ms, {deals:,} deals | "
            + " | ".join(f"{timed.least:.3f}" for timed in each)
            + f" | {ours.least:.3f} | {ratio:.2f} | ≤ 1.1 | {reached} |"
        )
    return "\n".join(lines)


def _unchanged(*, heavy: bool) -> str:
    """Read an account again in which nothing has changed since its last snapshot."""
    how = _recording.Loading(full=False, full_every=30, workers=6, resume=False)
    with (
        served(grown.account(STORED), 50) as server,
        tempfile.TemporaryDirectory() as folder,
        history.open_store(Path(folder) / "store.duckdb") as store,
        ca.CapsuleClient(token=server.token, base_url=server.url) as client,
    ):

        def again() -> ca.Pipeline:
            name = _recording.record(store, client, how)
            return store.as_of(store.snapshots(name)["taken_at"].max(), name)

        first = again()
        before = server.requests()
        second = again()
        asked = server.requests() - before
        same("deals", STORED, len(first.opportunities), len(second.opportunities))
        same("value", first.opportunities["tcv"].sum(), second.opportunities["tcv"].sum())

        def later() -> Cost:
            time.sleep(1.1)  # a store takes one snapshot a second, and would wait for the next
            return one(again)

        full, unchanged = in_turn(lambda: _ours(server), later, runs=3 if heavy else 2, warm=False)
        env = {"CAPSULE_TOKEN": server.token}
        words = ("--base-url", server.url, "--no-projection", "--snapshot")
        stores = [Path(folder) / f"{n}.duckdb" for n in range(2)]

        def report(number: int) -> Cost:
            out = Path(folder) / "out"
            return command(
                BIN / "capsule-report", *words, "--store", stores[number], "--out", out, env=env
            )

        fresh = Timed([one(lambda n=n: report(n)) for n in range(1 + heavy)])
        weekly = Timed([one(lambda n=n: report(n)) for n in range(1 + heavy)])
    rows = [
        Row(f"read {STORED:,} unchanged deals from the store and what changed, 50 ms", unchanged,
            "a full load", full, 0.25),
        Row("capsule-report --snapshot --no-projection of them", weekly,
            "the same for the first time", fresh),
    ]  # fmt: skip
    reached = "reached" if asked <= 10 else "**missed**"
    return f"{table(rows)}\n\nIt takes {asked} requests (goal: at most 10, {reached})."
