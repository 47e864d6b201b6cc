"""What an account is set up with: every pipeline, who is who, and what servers leave open."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pytest
from facts_account import (
    ARCHIVED,
    NEW,
    P_AGREED,
    P_PILOT,
    P_WON_OVER,
    PARTNERS,
    Deal,
    Facts,
    Milestone,
    Quirks,
    make_facts,
)
from facts_server import TOKEN, FactsServer, serving

import capsule_analytics as ca
from capsule_analytics.errors import ApiError, ArgumentError
from capsule_analytics.load import Earlier, load_changes, select, verify
from capsule_analytics.sandbox import Sandbox
from capsule_analytics.sandbox.quirks import Quirks as Switches

if TYPE_CHECKING:
    from collections.abc import Iterator

AS_OF = date(2026, 3, 10)


class Standing(NamedTuple):
    """A deal and the milestone at which it stands."""

    deal: Deal
    at: Milestone


def client_of(server: FactsServer) -> ca.CapsuleClient:
    return ca.CapsuleClient(base_url=server.url, token=TOKEN)


def load(server: FactsServer, **options: Any) -> ca.Pipeline:
    with client_of(server) as client:
        return ca.load_pipeline(client, as_of=AS_OF, **options)


@pytest.fixture(scope="module")
def facts() -> Facts:
    return make_facts(seed=5, count=150)


@pytest.fixture(scope="module")
def loaded(facts: Facts) -> ca.Pipeline:
    with serving(facts) as server:
        return load(server, embed=("tags", "fields", "missingImportantFields"))


# The sandbox's ways of being Capsule give one account


@pytest.fixture(scope="module")
def usual() -> ca.Pipeline:
    with Sandbox() as sandbox, ca.CapsuleClient(base_url=sandbox.url, token=sandbox.token) as one:
        return ca.load_pipeline(one, as_of="2026-10-15", embed=("tags", "fields"))


SWITCHES = {
    "nothing marks an archived pipeline": {"archived_mark": ""},
    "archived pipelines tell no milestones": {"archived_listed": False},
    "empty keys are absent": {"absent_keys": True},
    "milestones do not name their pipeline": {"milestone_pipeline": False},
    "no list of all milestones": {"milestones_all": False},
    "no total": {"total_count": False},
    "another mark": {"archived_mark": "archived"},
    "no Link": {"link": False},
    "neither Link nor more": {"link": False, "has_more": False},
}


@pytest.mark.parametrize("switched", SWITCHES, ids=str)
def test_whatever_is_not_known_of_capsule_changes_nothing(
    usual: ca.Pipeline, switched: str
) -> None:
    with (
        Sandbox(quirks=Switches(**SWITCHES[switched])) as sandbox,
        ca.CapsuleClient(base_url=sandbox.url, token=sandbox.token) as client,
    ):
        pipeline = ca.load_pipeline(client, as_of="2026-10-15", embed=("tags", "fields"))
    pd.testing.assert_frame_equal(pipeline.opportunities, usual.opportunities)
    pd.testing.assert_frame_equal(pipeline.issues, usual.issues)
    # What no list has and no deal refers to is not told.
    told = pipeline.milestones.sort_index()
    assert len(told) >= len(usual.milestones) - 1
    pd.testing.assert_frame_equal(told, usual.milestones.loc[told.index])


def test_a_deleted_milestone_that_nobody_tells_is_counted() -> None:
    with (
        Sandbox(quirks=Switches(deleted_milestone_fetchable=False)) as sandbox,
        ca.CapsuleClient(base_url=sandbox.url, token=sandbox.token) as client,
    ):
        pipeline = ca.load_pipeline(client, as_of="2026-10-15")
    at = pipeline.opportunities["milestone"] == "Introduced"
    assert at.sum() == 4
    assert set(pipeline.opportunities.loc[at, "status"]) == {"open"}
    assert pipeline.unknown_milestones == 4 + 1  # and the flaw of the sample
    assert pipeline.opportunities.loc[at, "milestone_id"].tolist() == [18] * 4


def test_the_sandbox_is_the_sample(usual: ca.Pipeline) -> None:
    sample = ca.load_sample()
    held = sample.opportunities.drop(columns="missing_important_fields")
    embedded = ["tags", "fields"]
    pd.testing.assert_frame_equal(
        usual.opportunities.drop(columns=embedded), held.drop(columns=embedded)
    )
    for name in embedded:  # one deal of the file has neither, and is served with none
        served, filed = (frame[name].tolist() for frame in (usual.opportunities, held))
        assert [one or None for one in served] == [one or None for one in filed]
    pd.testing.assert_frame_equal(usual.milestones, sample.milestones)


def test_an_open_milestone_named_won_is_open(usual: ca.Pipeline) -> None:
    at = usual.opportunities[usual.opportunities["milestone_id"] == 115]
    assert set(at["milestone"]) == {"Won"}
    assert set(at["status"]) == {"open"}


# Milestones


def test_archived_means_that_no_deal_can_come_to_it(loaded: ca.Pipeline, facts: Facts) -> None:
    told = loaded.milestones["archived"].to_dict()
    gone = {n for n, one in facts.milestones.items() if one.deleted or one.pipeline == ARCHIVED}
    assert {number for number, archived in told.items() if archived} == gone


@pytest.mark.parametrize("status", [403, 500])
def test_a_refusal_is_not_taken_for_a_server_that_knows_no_pipelines(
    facts: Facts, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = FactsServer.answer

    def refusing(self: FactsServer, method: str, path: str, query: Any, body: Any) -> Any:
        if path.startswith("pipelines"):
            return status, {"message": "no"}
        return answer(self, method, path, query, body)

    monkeypatch.setattr(FactsServer, "answer", refusing)
    with (
        serving(facts) as server,
        ca.CapsuleClient(base_url=server.url, token=TOKEN, timeout=0.5) as client,
        pytest.raises((ApiError, ca.TransportError)),
    ):
        client.fetch_milestones()


# Filters


@pytest.mark.parametrize(
    ("wanted", "is_kept"),
    [
        ({"status": ["won", "lost"]}, lambda x: x.at.complete),
        ({"owner": ["ada", "bo"]}, lambda x: x.deal.owner in {811, 812}),
        ({"owner": 813}, lambda x: x.deal.owner == 813),
        ({"pipeline": [NEW, "Partners"]}, lambda x: x.at.pipeline in {NEW, PARTNERS}),
        ({"pipeline": ARCHIVED}, lambda x: x.at.pipeline == ARCHIVED),
        ({"milestone": P_WON_OVER}, lambda x: x.at.id == P_WON_OVER),
        ({"milestone": "Won"}, lambda x: x.at.name == "Won"),
        ({"milestone": ["Pilot", "Agreed"]}, lambda x: x.at.id in {P_PILOT, P_AGREED}),
        ({"team": [41, "South"]}, lambda x: x.deal.team is not None),
        ({"tag": ["Textiles", "Contract"]}, lambda x: {601, 602} & set(x.deal.tags)),
        ({"field": {"Region": "West"}}, lambda x: (9021, "West") in x.deal.fields),
        ({"field": {"Signed": "true"}}, lambda x: (9023, True) in x.deal.fields),
        (
            {"field": {"Seats": [12, "13", 14, 15, 16]}},
            lambda x: set(dict(x.deal.fields).items()) & {(9022, str(n)) for n in range(12, 17)},
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_filters_of_several_values(
    loaded: ca.Pipeline, facts: Facts, wanted: dict[str, Any], is_kept: Any
) -> None:
    expected = {
        number
        for number, deal in facts.deals.items()
        if is_kept(Standing(deal, facts.milestones[deal.milestone or 0]))
    }
    assert expected
    assert set(select(loaded, **wanted).opportunities.index) == expected
    if wanted != {"milestone": ["Pilot", "Agreed"]}:  # which no list of the server has
        with serving(facts) as server:
            found = load(server, **wanted)
        assert set(found.opportunities.index) == expected
        assert {"tags", "fields"}.isdisjoint(found.opportunities.columns)


def test_an_owner_who_is_no_user_any_more_can_be_chosen(facts: Facts) -> None:
    users = {number: user for number, user in facts.users.items() if number != 813}
    everyone = dataclasses.replace(facts)
    with serving(everyone) as server:
        server.users = lambda *_: (200, {"users": list(users.values())})  # type: ignore[method-assign]
        found = load(server, owner="cleo")
        assert set(found.opportunities.index) == {
            d.id for d in facts.deals.values() if d.owner == 813
        }
        with pytest.raises(ArgumentError, match="no deal has the owner 'dora'"):
            load(server, owner="dora")


def test_a_server_that_refuses_a_filter_is_read_whole(facts: Facts) -> None:
    with serving(facts, Quirks(old="ids")) as server:
        found = load(server, owner="bo", milestone="Lead")
    assert {(d["owner"], d["milestone"]) for d in found.opportunities.to_dict("records")} == {
        ("bo", "Lead")
    }


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"status": "stuck"}, "unknown status 'stuck'; valid are open, won, lost"),
        ({"pipeline": "Nowhere"}, "no deal has the pipeline 'Nowhere'; there are New business"),
        ({"team": "East"}, "no deal has the team 'East'; there are North, South"),
        ({"field": {"Colour": "red"}}, "no deal has the custom field 'Colour'; there are "),
        ({"milestone": 4711}, "no deal has the milestone 4711"),
    ],
)
def test_what_there_is_not_is_named(loaded: ca.Pipeline, wanted: Any, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        select(loaded, **wanted)


@pytest.fixture(scope="module")
def sample() -> ca.Pipeline:
    return ca.load_sample()


@pytest.mark.parametrize(
    ("field", "typed", "value"),
    [
        ("Lead source", "Conference", "Conference"),
        ("Users", "400", 400),
        ("Users", " 400.0", 400),
        ("Users", 400, 400),
        ("Budget confirmed", "Yes", True),
        ("Budget confirmed", "false", False),
        ("Preferred start", "2024-05-16", date(2024, 5, 16)),
        # Two DataTags have a field "Reference" each.
        ("Licence: Reference", "473590", 473590),
    ],
)
def test_a_fields_value_may_be_given_as_text(
    sample: ca.Pipeline, field: str, typed: Any, value: Any
) -> None:
    held = sample.opportunities["fields"]
    wanted = [number for number, fields in held.items() if fields and fields.get(field) == value]
    assert wanted
    assert select(sample, field={field: typed}).opportunities.index.tolist() == wanted


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("Users", "many", "the custom field 'Users' is a number, not 'many'"),
        ("Budget confirmed", "perhaps", "is true or false, not 'perhaps'"),
        ("Preferred start", "16/05/2024", "is a date, YYYY-MM-DD, not '16/05/2024'"),
        ("Reference", "1", "no deal has the custom field 'Reference'.*Licence: Reference"),
    ],
)
def test_a_value_of_another_type_is_refused(
    sample: ca.Pipeline, field: str, value: str, says: str
) -> None:
    with pytest.raises(ArgumentError, match=says):
        select(sample, field={field: value})


def test_a_value_that_is_not_of_its_fields_type_can_still_be_chosen(sample: ca.Pipeline) -> None:
    """The type of a definition may have changed; what does not fit it stays as it came."""
    odd = dataclasses.replace(sample, opportunities=sample.opportunities.copy())
    number = odd.opportunities.index[0]
    odd.opportunities.at[number, "fields"] = {"Users": "a dozen"}  # noqa: PD008 - holds a dict
    assert select(odd, field={"Users": "a dozen"}).opportunities.index.tolist() == [number]


def test_a_field_that_no_deal_of_the_selection_has_is_still_one(facts: Facts) -> None:
    """The definitions tell which fields there are, where the server filters the deals."""
    deals = {number: dataclasses.replace(deal, fields=()) for number, deal in facts.deals.items()}
    with serving(dataclasses.replace(facts, deals=deals)) as server:
        assert load(server, field={"Seats": "12"}).opportunities.empty
        with pytest.raises(ArgumentError, match="no deal has the custom field 'Colour'; there are"):
            load(server, field={"Colour": "red"})


# Restricted rows, which carry no time


@pytest.mark.parametrize("shown", [False, True])
def test_what_changed_leaves_a_restricted_deal_only_if_it_is_shown(
    facts: Facts, shown: bool
) -> None:
    """Asked for by its id: what the server shows is there, whatever its list says."""
    number = min(facts.deals)
    deals = {n: deal for n, deal in facts.deals.items() if shown or n != number}
    hidden = dataclasses.replace(facts, deals=deals, restricted=[number])
    with serving(hidden) as server, client_of(server) as client:
        update = load_changes(client, datetime(2026, 3, 1, tzinfo=UTC))
    assert update is not None
    assert (number in update.deleted_ids) is not shown
    assert (number in update.pipeline.opportunities.index) is shown


def test_changes_are_told_with_the_same_milestones(facts: Facts, loaded: ca.Pipeline) -> None:
    """Deleted ones too, which none of the changed deals may refer to."""
    known = Earlier(loaded.opportunities.index, loaded.milestones)
    with serving(facts) as server, client_of(server) as client:
        update = load_changes(client, datetime(2026, 3, 1, tzinfo=UTC), earlier=known)
    assert update is not None
    pd.testing.assert_frame_equal(update.pipeline.milestones, loaded.milestones)


# Capsule's own totals


def test_verified_against_the_accounts_own_totals(facts: Facts) -> None:
    with serving(facts) as server, client_of(server) as client:
        pipeline = ca.load_pipeline(client, as_of=AS_OF)
        table = verify(client, pipeline)
    assert table["currency"].tolist() == ["EUR", "EUR", "GBP", "GBP", "USD", "USD"]
    assert (table["capsule"] > 0).all()
    assert table["difference"].abs().max() < 0.011  # each side rounds to cents


def test_a_wrong_probability_shows_in_the_difference(facts: Facts) -> None:
    with serving(facts) as server, client_of(server) as client:
        pipeline = ca.load_pipeline(client, as_of=AS_OF)
        frame = pipeline.opportunities
        one = frame[(frame["status"] == "open") & (frame["currency"] == "GBP")]["tcv"].idxmax()
        frame.loc[one, "tcv"] += 1000
        table = verify(client, pipeline).set_index(["currency", "measure"])
    assert table.loc[("GBP", "open_value"), "difference"] == pytest.approx(1000)


def test_a_difference_is_explained_by_the_deals_that_were_flagged() -> None:
    """The sample has a deal of 6,500 at 150 %, where its milestone says 50 %.

    No probability is above 100: we count 3,250, and the sandbox 9,750, as it stands there.
    """
    with (
        Sandbox() as sandbox,
        ca.CapsuleClient(base_url=sandbox.url, token=sandbox.token) as client,
    ):
        pipeline = ca.load_pipeline(client)
        table = verify(client, pipeline).set_index(["currency", "measure"])
        deal = sandbox.account.get(1598)
        assert deal is not None
        assert deal["probability"] == 150
        sandbox.account.put({**deal, "probability": 50})
        mended = verify(client, pipeline).set_index(["currency", "measure"])
    weighted = table.loc[("GBP", "weighted_value")]
    assert pipeline.opportunities.loc[1598, ["tcv", "probability"]].tolist() == [6500, 0.5]
    assert weighted["difference"] == pytest.approx(-6500, abs=0.01)
    assert "1598 probability_out_of_range: 150 %" in weighted["findings"].splitlines()
    assert "missing_value" not in weighted["findings"]  # the open values agree
    assert mended.loc[("GBP", "weighted_value"), "difference"] == pytest.approx(0, abs=0.01)
    assert not any(mended["findings"])


def test_without_such_totals_nothing_is_compared(facts: Facts) -> None:
    with serving(facts, Quirks(old="ids")) as server, client_of(server) as client:
        assert verify(client, load(server)).empty


# The as-of day


@pytest.mark.parametrize(
    "given",
    [
        "2026-10-15",
        date(2026, 10, 15),
        datetime(2026, 10, 15, 23, 59, tzinfo=UTC),
        pd.Timestamp("2026-10-15 12:00"),
        "2026-10-15T08:00:00+00:00",
    ],
)
def test_a_day_in_any_form(given: Any) -> None:
    pipeline = ca.load_sample(as_of=given)
    assert type(pipeline.as_of) is date
    assert pipeline.as_of == date(2026, 10, 15)
    assert dataclasses.replace(pipeline, as_of=given).as_of == date(2026, 10, 15)
    assert len(ca.forecast.by_month(pipeline)) > 0


@pytest.mark.parametrize("given", ["soon", "15.10.2026", 20261015, pd.NaT, 5.0, "", ("2026",)])
def test_what_is_no_day_is_refused(given: Any) -> None:
    with pytest.raises(ArgumentError, match="as_of must be a day such as 2026-10-15"):
        ca.load_sample(as_of=given)


# Writing


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def stored(sandbox: Sandbox, number: int) -> dict[str, Any]:
    found: dict[str, Any] = next(r for r in sandbox.account.records() if r["id"] == number)
    return found


def a_deal(pipeline: ca.Pipeline, /, **is_: Any) -> int:
    frame = pipeline.opportunities
    for column, value in is_.items():
        frame = frame[frame[column] == value]
    return int(frame.index[0])


class TestWrites:
    @pytest.fixture
    def client(self, sandbox: Sandbox) -> Iterator[ca.CapsuleClient]:
        with ca.CapsuleClient(base_url=sandbox.url, token=sandbox.token) as made:
            yield made

    def refused(self, sandbox: Sandbox, says: str, call: Any) -> None:
        with pytest.raises(ArgumentError, match=says):
            call()
        assert [r for r in sandbox.requests if r.method in {"POST", "PUT", "DELETE"}] == []

    def test_a_value_needs_a_currency(
        self, sandbox: Sandbox, client: ca.CapsuleClient, usual: ca.Pipeline
    ) -> None:
        bare = {"name": "New", "milestone": "Lead", "value": 5}
        self.refused(
            sandbox, "a value needs its currency", lambda: client.create_opportunity(201, **bare)
        )
        lacks = int(usual.opportunities.index[usual.opportunities["currency"].isna()][0])
        self.refused(
            sandbox, "a value needs its currency", lambda: client.update_opportunity(lacks, value=5)
        )

    def test_a_value_keeps_the_currency_of_the_deal(
        self, client: ca.CapsuleClient, usual: ca.Pipeline
    ) -> None:
        number = a_deal(usual, currency="EUR", status="open")
        client.update_opportunity(number, value=5)
        read = client.get_opportunity(number)
        assert (read["value"], read["currency"]) == (5, "EUR")

    def test_no_probability_where_a_deal_is_closed(
        self, sandbox: Sandbox, client: ca.CapsuleClient, usual: ca.Pipeline
    ) -> None:
        won, open_ = a_deal(usual, status="won"), a_deal(usual, status="open", pipeline="Sales")
        says = "probability of a closed opportunity cannot be set"
        self.refused(sandbox, says, lambda: client.update_opportunity(won, probability=50))
        self.refused(
            sandbox, says, lambda: client.update_opportunity(open_, milestone=16, probability=50)
        )
        new = {"name": "x", "milestone": 17, "probability": 0}
        self.refused(sandbox, says, lambda: client.create_opportunity(201, **new))
        client.update_opportunity(won, milestone=13, probability=40)
        assert client.get_opportunity(won)["milestone_id"] == 13

    def test_an_owner_without_the_team_would_lose_the_team(
        self, sandbox: Sandbox, client: ca.CapsuleClient, usual: ca.Pipeline
    ) -> None:
        number = a_deal(usual, owner="praman", team="Home accounts", status="open")
        says = "takes the opportunity from its team 'Home accounts': give team=31"
        self.refused(sandbox, says, lambda: client.update_opportunity(number, owner="creid"))
        client.update_opportunity(number, owner="creid", team=31)
        read = client.get_opportunity(number)
        assert (read["owner"], read["team"]) == ("creid", "Home accounts")
        client.update_opportunity(number, owner=23, team=None)
        read = client.get_opportunity(number)
        assert (read["owner"], read["team"]) == ("praman", None)
        client.update_opportunity(number, team="Home accounts")
        assert client.get_opportunity(number)["owner"] == "praman"

    def test_a_deal_needs_an_owner_or_a_team(
        self, sandbox: Sandbox, client: ca.CapsuleClient, usual: ca.Pipeline
    ) -> None:
        number = a_deal(usual, owner="praman", status="open")
        self.refused(
            sandbox,
            "needs an owner or a team",
            lambda: client.update_opportunity(number, owner=None, team=None),
        )

    def test_milestones_of_every_pipeline(self, sandbox: Sandbox, client: ca.CapsuleClient) -> None:
        made = client.create_opportunity(201, name="Retainer", milestone="Enquiry")
        assert client.get_opportunity(made)["milestone_id"] == 111
        client.update_opportunity(made, milestone="Negotiation")  # that of its own pipeline
        assert client.get_opportunity(made)["milestone_id"] == 114
        client.update_opportunity(made, milestone=14)
        assert client.get_opportunity(made)["milestone_id"] == 14
        sandbox.requests.clear()
        bare = {"name": "New", "milestone": "Won"}
        self.refused(
            sandbox,
            "several pipelines have a milestone 'Won'; give its id: 16 of Sales, 115 of Retainers",
            lambda: client.create_opportunity(201, **bare),
        )
        archived = {"name": "New", "milestone": "Idea"}
        self.refused(
            sandbox,
            "unknown milestone 'Idea'",
            lambda: client.create_opportunity(201, **archived),
        )


# People over time


def renamed(name: str, day: str, **other: Any) -> ca.Pipeline:
    sample = ca.load_sample()
    frame = sample.opportunities.head(3).copy()
    frame["owner"] = pd.Categorical([name, "bo", name])
    frame["owner_id"] = pd.array([8, 9, 8], dtype="Int64")
    frame["status"] = pd.Categorical(["open"] * 3, ["open", "won", "lost"])
    for column, value in other.items():
        frame[column] = value
    moment = pd.Timestamp(day, tz="UTC")
    return dataclasses.replace(sample, opportunities=frame, as_of=day, loaded_at=moment)


def test_a_renamed_user_is_one_person_in_history() -> None:
    late = pd.Timestamp("2026-12-31", tz="UTC")
    before = renamed("ada.b", "2026-01-31", expected_close=pd.Timestamp("2026-11-30", tz="UTC"))
    after = renamed("ada", "2026-02-28", expected_close=late)
    gone = after.opportunities.iloc[1:]
    after = dataclasses.replace(after, opportunities=gone)
    slips = ca.history.slippage([before, after])
    assert set(slips["owner"]) == {"ada", "bo"}
    by_owner = ca.history.slippage_by_owner(slips).set_index("owner")
    assert by_owner["deals"].to_dict() == {"ada": 2, "bo": 1}
    deleted = ca.history.changed_deals(before, after)
    assert deleted.loc[deleted["part"] == "deleted", "owner"].tolist() == ["ada"]
    outcomes = ca.calibration.outcomes([before, after], renamed("ada.h", "2026-03-31"))
    assert set(outcomes["owner"]) <= {"ada.h", "bo"}
