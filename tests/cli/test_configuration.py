"""``capsule.toml``: the long names of the options, as they may be written; what is typed wins."""

from __future__ import annotations

import subprocess
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from click.testing import CliRunner
from commands import invoked
from sandbox_account import account

from capsule_analytics import cli, history
from capsule_analytics.cli._args import ReportArgs
from capsule_analytics.cli._config import read_config
from capsule_analytics.cli._snapshot import SnapshotArgs
from capsule_analytics.errors import ConfigError
from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    import click


def run(folder: Path, *args: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
    return invoked(*args, token=token, cwd=folder, XDG_DATA_HOME=str(folder))


def chosen(folder: Path, text: str, *args: str, command: click.Command = cli.report) -> Any:
    """Give the options that a command would run with."""
    path = folder / "a.toml"
    path.write_text(text, encoding="utf-8")
    return command.make_context("x", ["--config", str(path), *args]).params


@pytest.mark.parametrize("text", ['"svg, pdf"', '["svg", "pdf"]', '["svg,pdf"]'])
def test_formats_are_a_list_or_a_text(text: str, tmp_path: Path) -> None:
    options = chosen(tmp_path, f'format = {text}\nout = "r"')
    assert options["formats"] == ("svg", "pdf")


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ('"owner"', ("owner",)),
        ('["owner"]', ("owner",)),
        ('["owner", "team"]', ("owner", "team")),
        ("[]", ()),
    ],
)
def test_groups_are_a_text_or_a_list(text: str, by: tuple[str, ...], tmp_path: Path) -> None:
    assert chosen(tmp_path, f'by = {text}\nout = "r"')["by"] == by


def test_values_are_read_as_if_typed(tmp_path: Path) -> None:
    options = chosen(
        tmp_path,
        'out = 2026\nfiscal-year-start = "4"\nas-of = 2026-10-15\nhtml = true\ncommit = 1\n'
        "[thresholds]\nbest-case = 0.6",
    )
    assert options["out"] == Path("2026")
    assert options["fiscal_year_start"] == 4
    assert str(options["as_of"]) == "2026-10-15"
    assert options["html"] is True
    assert (options["commit"], options["best_case"]) == (1, 0.6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('period = ["month", "year"]', "period takes one value, not"),
        ("period = []", "period takes one value, not"),
        ("[by]\nowner = true", "by takes a value, not"),
        ('formats = "svg"', "unknown key 'formats'; did you mean 'format'"),
        ('token_file = "t"', "unknown key 'token_file'; did you mean 'token-file'"),
        ("version = true", "unknown key 'version'"),
        ("init = true", "unknown key 'init'"),
    ],
)
def test_what_cannot_be_an_option_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen(tmp_path, f'out = "r"\n{text}')


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "capsule.toml"
    path.write_text("html = true", encoding="utf-8-sig")
    assert read_config(path) == {"html": True}


@pytest.mark.parametrize("held", ["sample = true", 'account = "foo"', 'base-url = "https://x.y"'])
@pytest.mark.parametrize("typed", [["--sample"], ["--account", "a"], ["--base-url", "https://a"]])
def test_a_place_that_is_typed_wins(held: str, typed: list[str], tmp_path: Path) -> None:
    alone = chosen(tmp_path, f'{held}\nout = "r"')
    assert sum(bool(alone[name]) for name in ("sample", "account", "base_url")) == 1
    plain = cli.report.make_context("x", ["--out", "r", *typed]).params
    assert chosen(tmp_path, f'{held}\nout = "r"', *typed) == plain


def test_typed_accounts_win_over_an_account(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.touch()
    one = f'account = "foo"\ntoken-file = "{accounts}"\nstore = "s"'
    snapshot = cli.snapshot
    options = chosen(tmp_path, one, "--accounts", str(accounts), command=snapshot)
    assert (options["accounts"], options["account"]) == (accounts, None)
    assert options["store_path"] == Path("s")
    many = f'accounts = "{accounts}"'
    options = chosen(tmp_path, many, "--account", "foo", command=snapshot)
    assert (options["accounts"], options["account"]) == (None, "foo")


def test_one_file_serves_both_commands(tmp_path: Path) -> None:
    with Sandbox(account(), token="t0ken") as sandbox:
        (tmp_path / "capsule.toml").write_text(
            f'base-url = "{sandbox.url}"\nstore = "kept.duckdb"\nout = "report"\nperiod = "year"\n'
            'format = "none"\n'
        )
        for name in ("capsule-snapshot", "capsule-report"):
            done = run(tmp_path, name, token="t0ken")
            assert done.returncode == 0, done.stderr
        with history.open_store(tmp_path / "kept.duckdb", read_only=True) as store:
            assert len(store.snapshots()) == 1
    done = run(tmp_path, "capsule-report", "--sample", "--no-projection")
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(tmp_path / "report" / "forecast.csv").columns[0] == "year"


@pytest.mark.parametrize("words", [["--init", "--config"], ["--init", "--config"][::-1]])
def test_init_writes_the_file_that_is_named(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    at = words.index("--config") + 1
    done = CliRunner().invoke(cli.report, [*words[:at], "a.toml", *words[at:]])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Wrote a.toml; ")
    assert [file.name for file in tmp_path.iterdir()] == ["a.toml"]


def test_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.report, ["--config", "a.toml"])
    assert done.exit_code == 2
    assert "the file a.toml does not exist" in done.output
    assert CliRunner().invoke(cli.report, ["--init"]).output.startswith("Wrote capsule.toml; ")
    assert "# out" in (tmp_path / "capsule.toml").read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["capsule.toml"]


@pytest.mark.parametrize(
    ("command", "asked"), [(cli.report, ReportArgs), (cli.snapshot, SnapshotArgs)]
)
def test_what_was_asked_has_a_field_for_each_option(command: click.Command, asked: Any) -> None:
    options = {one.name for one in command.params if one.expose_value}
    assert {one.name for one in fields(asked)} == options


@pytest.mark.parametrize("command", [cli.report, cli.snapshot])
def test_help_lists_every_option_under_a_heading(command: click.Command) -> None:
    done = CliRunner().invoke(command, ["--help"])
    headings = [line for line in done.output.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings[0] == "Account:"
    assert headings[-2:] == ["Where:", "Other options:"]
    for option in command.params:
        assert f"  {option.opts[0]} " in done.output


def test_a_file_is_not_read_to_write_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "capsule.toml").write_text("no TOML")
    done = CliRunner().invoke(cli.report, ["--init", "--config", "other.toml"])
    assert done.output.startswith("Wrote other.toml; ")
    assert cli.run(cli.report, ["--init"]) == 1
    assert (tmp_path / "capsule.toml").read_text() == "no TOML"
