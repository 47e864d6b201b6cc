"""``capsule-snapshot --accounts``: many accounts in one run, and none stops another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commands import invoked
from sandbox_account import account

from capsule_analytics import history
from capsule_analytics.cli import _recording
from capsule_analytics.cli._accounts import read_accounts
from capsule_analytics.errors import CapsuleError, ConfigError
from capsule_analytics.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capsule_analytics import CapsuleClient
    from capsule_analytics.history import Store

pytestmark = pytest.mark.usefixtures("no_backoff")

TOKENS = {"acme": "t0ken-of-acme", "bolt": "t0ken-of-bolt", "crow": "t0ken-of-crow"}


@pytest.fixture
def sandboxes() -> Iterator[dict[str, Sandbox]]:
    running = {name: Sandbox(account(), token=token) for name, token in TOKENS.items()}
    for sandbox in running.values():
        sandbox.start()
    yield running
    for sandbox in running.values():
        sandbox.stop()


@pytest.fixture
def accounts(sandboxes: dict[str, Sandbox], tmp_path: Path) -> Path:
    """Write the three accounts down; crow's token stands in a file."""
    tables = [
        f'[[account]]\nname = "{name}"\nbase-url = "{sandbox.url}"\n'
        + (f'token-env = "{name.upper()}_TOKEN"\n' if name != "crow" else 'token-file = "crow"\n')
        for name, sandbox in sandboxes.items()
    ]
    (tmp_path / "crow").write_text(TOKENS["crow"] + "\n")
    (tmp_path / "crow").chmod(0o600)
    path = tmp_path / "accounts.toml"
    path.write_text("\n".join(tables))
    return path


def snapshot(store: Path, accounts: Path, *args: str | Path, **environment: str) -> Any:
    known = {"ACME_TOKEN": TOKENS["acme"], "BOLT_TOKEN": TOKENS["bolt"]}
    done = invoked(
        "capsule-snapshot", "--accounts", accounts, "--store", store, *args,
        **(known | environment),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert not any(token in done.stdout + done.stderr for token in TOKENS.values())
    return done


def kinds(store: Path) -> dict[str, list[str]]:
    with history.open_store(store, read_only=True) as opened:
        return {name: opened.snapshots(name)["kind"].tolist() for name in opened.accounts()}


def test_every_account_is_recorded(accounts: Path, tmp_path: Path) -> None:
    store = tmp_path / "history.duckdb"
    for _ in range(2):
        done = snapshot(store, accounts, "--export", tmp_path / "export")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
    assert kinds(store) == {name: ["full", "incremental"] for name in TOKENS}
    assert {path.name for path in (tmp_path / "export").iterdir()} == {
        f"account={name}" for name in TOKENS
    }


def test_one_that_fails_is_told_and_the_others_recorded(
    accounts: Path, sandboxes: dict[str, Sandbox], tmp_path: Path
) -> None:
    store = tmp_path / "history.duckdb"
    done = snapshot(store, accounts, BOLT_TOKEN="wrong-t0ken")
    assert done.returncode == 1
    first, last = done.stderr.splitlines()
    assert first.startswith("Error: bolt: ")
    assert last == "Error: 1 of 3 accounts not recorded"
    assert "wrong-t0ken" not in done.stderr
    assert done.stdout.count("Snapshot of ") == 2
    assert kinds(store) == {"acme": ["full"], "crow": ["full"]}
    sandboxes["crow"].stop()
    done = snapshot(store, accounts)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: crow: ")
    assert kinds(store) == {"acme": ["full", "incremental"], "bolt": ["full"], "crow": ["full"]}


def test_not_even_a_fault_of_ours_stops_the_others(
    accounts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("acme", "bolt"):
        monkeypatch.setenv(f"{name.upper()}_TOKEN", TOKENS[name])
    record = _recording.record

    def faulty(store: Store, client: CapsuleClient, *rest: Any, **more: Any) -> str:
        if client.account == "bolt":
            raise KeyError("surprise")
        return record(store, client, *rest, **more)

    monkeypatch.setattr(_recording, "record", faulty)
    how = _recording.Loading(full=False, full_every=7, workers=2, resume=False)
    with history.open_store(tmp_path / "history.duckdb") as store:
        found = dict(_recording.record_all(store, read_accounts(accounts), how, 10.0, 10.0))
        assert store.accounts() == ["acme", "crow"]
    assert isinstance(found["bolt"], CapsuleError)
    assert str(found["bolt"]) == "this should not happen, please report it: KeyError: 'surprise'"


def test_the_rate_limit_of_one_holds_up_no_other(tmp_path: Path) -> None:
    """Account slow may make 6 requests a second; quick is done without waiting for it."""
    with (
        Sandbox(account(), token="a", rate_limit=6, rate_window=1.0) as slow,
        Sandbox(account(), token="b") as quick,
    ):
        path = tmp_path / "accounts.toml"
        path.write_text(
            f'[[account]]\nname = "slow"\nbase-url = "{slow.url}"\ntoken-env = "A"\n'
            f'[[account]]\nname = "quick"\nbase-url = "{quick.url}"\ntoken-env = "B"\n'
        )
        done = invoked(
            "capsule-snapshot", "--accounts", path, "--store", tmp_path / "h.duckdb", A="a", B="b"
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[0].startswith("Snapshot of quick")
        assert done.stdout.splitlines()[1].startswith("Snapshot of slow")
        assert len(slow.requests) > 6, "it had to wait"
        assert max(request.time for request in quick.requests) < max(
            request.time for request in slow.requests
        )


def test_several_are_loaded_at_once(
    accounts: Path, sandboxes: dict[str, Sandbox], tmp_path: Path
) -> None:
    for sandbox in sandboxes.values():
        sandbox.latency = 0.3
    assert snapshot(tmp_path / "history.duckdb", accounts).returncode == 0
    begun = [min(request.time for request in sandbox.requests) for sandbox in sandboxes.values()]
    ended = [max(request.time for request in sandbox.requests) for sandbox in sandboxes.values()]
    assert max(begun) < min(ended)


def test_an_answer_that_is_no_account(
    accounts: Path, sandboxes: dict[str, Sandbox], tmp_path: Path
) -> None:
    sandboxes["acme"].faults.add(Fault("html", times=None))
    done = snapshot(tmp_path / "history.duckdb", accounts)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: acme: ")
    assert kinds(tmp_path / "history.duckdb").keys() == {"bolt", "crow"}


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ('token-env = "NO_SUCH"', "the variable NO_SUCH is not set"),
        ('token-file = "none"', "the token file cannot be read: "),
        ('token-file = "empty"', "the token file "),
    ],
)
def test_a_token_that_is_missing_stops_no_other(
    token: str, said: str, accounts: Path, sandboxes: dict[str, Sandbox], tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "empty").chmod(0o600)
    url = sandboxes["acme"].url + "/"
    accounts.write_text(f'[[account]]\nbase-url = "{url}"\n{token}\n{accounts.read_text()}')
    done = snapshot(tmp_path / "history.duckdb", accounts)
    assert done.returncode == 1
    first, last = done.stderr.splitlines()
    assert first.startswith(f"Error: {url}: {said}")
    assert last == "Error: 1 of 4 accounts not recorded"
    assert kinds(tmp_path / "history.duckdb").keys() == TOKENS.keys()


def test_files_with_a_byte_order_mark(accounts: Path, tmp_path: Path) -> None:
    """Editors on Windows begin a file in UTF-8 with one."""
    for file in (accounts, tmp_path / "crow"):
        file.write_text(file.read_text(), encoding="utf-8-sig")
    done = snapshot(tmp_path / "history.duckdb", accounts)
    assert done.returncode == 0, done.stderr
    assert kinds(tmp_path / "history.duckdb").keys() == TOKENS.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write a table"),
        ("[[account]]\nname = 'a'", "account 1: give one of token-env and token-file"),
        ("[[account]]\nname = 'a'\ntoken = 's3cret'", "does not belong in this file"),
        ("[[account]]\ntoken-file = 't'", "give its name .* or a base-url"),
        ("[[account]]\nname = 'a'\ntoken_file = 't'", "did you mean 'token-file'"),
        ("[[account]]\nname = 1\ntoken-file = 't'", "name is text, not 1"),
        ("[[account]]\nname = 'a'\ntoken-file = 't'\napi-version = 'v3'", "v1 or v2"),
        ("[[account]]\nname = 'a'\ntoken-file = 't'\n" * 2, "'a' is there twice"),
        ("account = 3", "write a table"),
        ("account = [3]", "account 1 is no table"),
        ("x = ", "accounts.toml"),
    ],
)
def test_a_file_with_a_flaw(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("t0ken")
    (tmp_path / "t").chmod(0o600)
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_accounts(path)
    assert "s3cret" not in str(caught.value)


def test_the_file_says_which_accounts(accounts: Path, tmp_path: Path) -> None:
    done = snapshot(tmp_path / "history.duckdb", accounts, "--sample")
    assert done.returncode == 2
    assert "--accounts" in done.stderr
    assert not (tmp_path / "history.duckdb").exists()
