"""Which deals a report is about, and its sums beside those that Capsule adds up."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from commands import NO_CHARTS

import capsule_analytics as ca
from capsule_analytics.cli._report import report
from capsule_analytics.errors import ArgumentError
from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(*words: str) -> Result:
    return CliRunner().invoke(report, list(words), catch_exceptions=False)


def test_deals_of_a_pipeline_a_team_and_several_statuses(tmp_path: Path) -> None:
    out = tmp_path / "out"
    chosen = ["--pipeline", "Sales", "--team", "Home accounts", "--status", "open"]
    tables = ["--no-projection", *NO_CHARTS, "--out", str(out)]
    done = run("--sample", *chosen, "--status", "won", *tables)
    assert done.exit_code == 0, done.output
    rows = read(out / "opportunities.csv")
    kept = {(row["pipeline"], row["team"], row["status"]) for row in rows}
    assert kept == {("Sales", "Home accounts", status) for status in ("open", "won")}


def test_of_several_milestones_tags_and_owners_any_will_do(tmp_path: Path) -> None:
    frame = ca.load_sample().opportunities
    owners = frame["owner"].dropna().unique()[:2].tolist()
    chosen = {"--milestone": ["Proposal", "Offer"], "--owner": owners}
    words = [word for name, values in chosen.items() for one in values for word in (name, one)]
    out = tmp_path / "out"
    done = run("--sample", *words, "--no-projection", *NO_CHARTS, "--out", str(out))
    assert done.exit_code == 0, done.output
    kept = frame["milestone"].isin(["Proposal", "Offer"]) & frame["owner"].isin(owners)
    assert [int(row["id"]) for row in read(out / "opportunities.csv")] == frame.index[kept].tolist()
    assert frame.loc[kept, "milestone"].nunique() == frame.loc[kept, "owner"].nunique() == 2


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def with_field(name: str, *values: object) -> set[int]:
    """Look the deals up in the sample, whose fields are typed."""
    fields = ca.load_sample().opportunities["fields"]
    return {int(key) for key, held in fields.items() if held and held.get(name) in values}


def test_deals_with_values_of_custom_fields(tmp_path: Path) -> None:
    """Of several values of one field any will do; several fields must all hold."""
    out = tmp_path / "out"
    words = ["Lead source=Conference", "Lead source=Referral", "Budget confirmed=yes"]
    typed = [word for one in words for word in ("--field", one)]
    done = run("--sample", *typed, "--no-projection", "--out", str(out))
    assert done.exit_code == 0, done.output
    kept = {int(row["id"]) for row in read(out / "opportunities.csv")}
    confirmed = with_field("Budget confirmed", True)  # noqa: FBT003 - the field's value
    assert kept == with_field("Lead source", "Conference", "Referral") & confirmed
    assert kept


@pytest.mark.parametrize("word", ["Users", "=400", " =400"])
def test_a_field_without_a_name_or_value_is_no_choice(word: str) -> None:
    done = run("--sample", "--field", word, "--out", "out")
    assert done.exit_code == 2
    assert 'write it as "NAME=VALUE"' in done.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--field", "Colour=red"), "no deal has the custom field 'Colour'; there are Brief, "),
        (("--field", "Users=many"), "the custom field 'Users' is a number, not 'many'"),
    ],
)
def test_a_field_that_there_is_not(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(ArgumentError, match=says):
        run("--sample", *words, "--no-projection", "--out", str(out))
    assert not out.exists()


def test_custom_fields_of_a_live_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are embedded when they are asked for, to choose deals and to group them."""
    out = tmp_path / "out"
    with Sandbox() as sandbox:
        monkeypatch.setenv("CAPSULE_TOKEN", sandbox.token)
        live = ["--base-url", sandbox.url, "--no-projection", "--out", str(out)]
        done = run(*live, "--field", "Budget confirmed=yes", "--by", "field:Lead source")
    assert done.exit_code == 0, done.output
    confirmed = with_field("Budget confirmed", True)  # noqa: FBT003 - the field's value
    assert {int(row["id"]) for row in read(out / "opportunities.csv")} == confirmed
    assert len({row["field:Lead source"] for row in read(out / "forecast.csv")}) > 2


def test_a_configuration_names_fields(tmp_path: Path) -> None:
    config = tmp_path / "capsule.toml"
    config.write_text('field = ["Lead source=Conference", "Users=400"]\n', encoding="utf-8")
    out = tmp_path / "out"
    done = run("--config", str(config), "--sample", "--no-projection", "--out", str(out))
    assert done.exit_code == 0, done.output
    kept = {int(row["id"]) for row in read(out / "opportunities.csv")}
    assert kept == with_field("Lead source", "Conference") & with_field("Users", 400)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--base-url", "http://127.0.0.1:9", "--api-version", "v1", "--field", "A=b"), "v2"),
        (("--base-url", "http://127.0.0.1:9", "--api-version", "v1", "--by", "field:A"), "v2"),
        (("--sample", "--by", "colour"), "'field:NAME'"),
        (("--account", "acme", "--verify", "--field", "A=b"), "not a selection"),
        (("--sample", "--verify"), "--verify asks a live account"),
        (("--account", "acme", "--verify", "--team", "North"), "not a selection"),
        (("--account", "acme", "--changes-since", "2026-01-01", "--status", "open"), "selection"),
    ],
)
def test_what_cannot_be_compared_is_refused(words: tuple[str, ...], says: str) -> None:
    done = run(*words, "--out", "out")
    assert done.exit_code == 2
    assert says in done.output


def test_both_sides_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox converts every sum to pounds, so only those in pounds can be compared."""
    with Sandbox() as sandbox:
        monkeypatch.setenv("CAPSULE_TOKEN", sandbox.token)
        tables = ["--no-projection", *NO_CHARTS, "--out", str(tmp_path / "out")]
        done = run("--base-url", sandbox.url, "--verify", *tables)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if "difference" in line]
    assert any("GBP open value: ours " in line and "Capsule GBP" in line for line in lines)
    assert all("not comparable" in line for line in lines if "EUR" in line.partition(":")[0])
    assert "      1598 probability_out_of_range: 150 %" in done.output.splitlines()
