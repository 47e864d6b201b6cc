"""The setting of the sample account: who sells what to whom, and how the odds lie.

Only tables stand here; ``sample_deals.py`` lives the deals through. Percentages and odds are set
so that the stated probabilities are too high where the money is: late milestones, large deals,
and the owners who hope most.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

SEED = 604
AS_OF = date(2026, 10, 15)  # read before work began that day, so the last changes are a day old
FIRST_DAY = date(2024, 4, 15)
FIRST_ID = 1001

ACCOUNT = {
    "subdomain": "tarnreed",
    "name": "Tarn & Reed Consulting Ltd",
    "asOf": str(AS_OF),
    "currency": "GBP",
    "rates": {"GBP": 1.0, "EUR": 1.16, "USD": 1.3, "CHF": 1.12},
}
OPENED = "2024-04-02T08:10:00Z"  # when the account was set up
OPEN_PERCENT = (10, 25, 50, 70, 90)
PROPOSAL = 2  # index of the first milestone with a price on the table


@dataclass(frozen=True)
class Ladder:
    """A pipeline and its milestones: five open ones from low to high, then won and lost.

    All have the same percentages: what differs is which milestone of which pipeline a deal is at.
    """

    id: int
    name: str
    description: str
    milestones: tuple[tuple[str, str], ...]  # names and descriptions
    first_id: int  # of the milestones
    stale: tuple[int, ...]  # days until a deal is stale at each open milestone
    archived: str = ""  # when, if it is

    def pipeline(self) -> dict[str, Any]:
        """Return the pipeline as the account lists it."""
        mark = {"isDeleted": True} if self.archived else {}
        times = {"createdAt": OPENED, "updatedAt": self.archived or OPENED}
        return {"id": self.id, "name": self.name, "description": self.description, **times, **mark}

    def reference(self, index: int) -> dict[str, Any]:
        """Return a milestone as deals refer to it."""
        return {"id": self.first_id + index, "name": self.milestones[index][0]}

    def listed(self) -> list[dict[str, Any]]:
        """Return the milestones as the account lists them."""
        percents = (*OPEN_PERCENT, 100, 0)
        return [
            milestone(self.reference(index), text, percents[index], self.stale[index:][:1], self)
            for index, (_, text) in enumerate(self.milestones)
        ]


def milestone(
    reference: dict[str, Any], text: str, percent: int, stale: Sequence[int], ladder: Ladder
) -> dict[str, Any]:
    """Return a milestone as the account lists it; open ones say when deals are stale."""
    return {
        **reference,
        "description": text,
        "complete": not stale,
        "probability": percent,
        **({"daysUntilStale": stale[0]} if stale else {}),
        "pipeline": {"id": ladder.id, "name": ladder.name},
        "createdAt": OPENED,
        "updatedAt": OPENED,
    }


WON_STEP, LOST_STEP = 5, 6  # indices among the milestones of a pipeline
SALES = Ladder(2, "Sales", "Projects and days", (
    ("Lead", "A need, a person and a rough date"),
    ("Qualified", "Budget and decision maker are known"),
    ("Proposal", "A priced proposal is with the client"),
    ("Negotiation", "Terms and scope are being agreed"),
    ("Contract out", "Agreed in words, not yet signed"),
    ("Won", "Signed"),
    ("Lost", "Closed without an order"),
), 11, (90, 75, 90, 60, 45))  # fmt: skip
RETAINERS = Ladder(3, "Retainers and licences", "What is paid by the period", (
    ("Enquiry", "Somebody asks what it costs"),
    ("Scoped", "Number of users or days a month is known"),
    ("Offer", "A price a period is with the client"),
    ("Negotiation", "Length and notice are being agreed"),
    ("Won", "The client has said yes; the agreement is not signed"),  # open, whatever it says
    ("Running", "Signed, and the first period is invoiced"),
    ("Lost", "Closed without an agreement"),
), 111, (75, 60, 75, 60, 45))  # fmt: skip
PILOTS = Ladder(1, "Pilots 2024", "Small firsts, given up as a line of its own", (
    ("Idea", "Worth a talk"),
    ("Candidate", "The client would try it"),
    ("Agreed", "Scope and price are on one page"),
    ("Preparing", "Data and people are being arranged"),
    ("Scheduled", "A start is set"),
    ("Done", "Ordered"),
    ("Dropped", "Came to nothing"),
), 121, (30, 30, 30, 30, 30), "2025-11-28T16:20:00Z")  # fmt: skip
LADDERS = (PILOTS, SALES, RETAINERS)
PILOTS_UNTIL = date(2024, 12, 1)
# A milestone of Sales for referrals, in place of Proposal, until it was deleted.
INTRODUCED = {"id": 18, "name": "Introduced"}
INTRODUCED_UNTIL = date(2026, 7, 6)
PIPELINES = [ladder.pipeline() for ladder in LADDERS]
MILESTONES = [
    *(row for ladder in (SALES, RETAINERS, PILOTS) for row in ladder.listed()),
    {
        **milestone(
            INTRODUCED, "Whoever referred us has brought both sides together", 50, (60,), SALES
        ),
        "isDeleted": True,
    },
]
LOST_REASONS = [
    {"id": 41, "name": "Price"},
    {"id": 42, "name": "Chose a competitor"},
    {"id": 43, "name": "No budget"},
    {"id": 44, "name": "No decision"},
    {"id": 45, "name": "Project cancelled"},
    {"id": 46, "name": "Did it in-house"},
]
UNCOUNTED_REASONS = [  # left out of the conversion rate
    {"id": 47, "name": "Entered twice"},
    {"id": 48, "name": "Never a sales enquiry"},
]
TAGS = [
    {"id": 51, "name": "Existing client"},
    {"id": 52, "name": "Referral"},
    {"id": 53, "name": "Tender"},
    {"id": 54, "name": "Public sector"},
    {"id": 55, "name": "Renewal"},
    {"id": 56, "name": "Strategic"},
    {"id": 57, "name": "R&D"},
    {"id": 58, "name": "At risk"},
]
REFERRED = 52
FRAMEWORK = {"id": 59, "name": "Framework", "description": "Called off a framework agreement"}
LICENCE = {"id": 60, "name": "Licence", "description": "What the licence covers"}
DATA_TAGS = [FRAMEWORK, LICENCE]
LEAD_SOURCE = {"id": 61, "name": "Lead source"}
LEAD_SOURCES = ("Website", "Referral", "Conference", "Tender portal", "Repeat business")
SERVICES = ("Data", "Process", "Systems", "Training", "Interim people")
IMPORTANT = 63  # the custom field that every deal should have
DEFINITIONS = [  # one of every type, and two of one name under two DataTags
    {**LEAD_SOURCE, "type": "list", "options": [*LEAD_SOURCES]},
    {"id": 62, "name": "Users", "type": "number"},
    {"id": 63, "name": "Budget confirmed", "type": "boolean"},
    {"id": 64, "name": "Preferred start", "type": "date", "description": "As the client sees it"},
    {"id": 65, "name": "Brief", "type": "link"},
    {"id": 66, "name": "Services", "type": "multiselect", "options": [*SERVICES]},
    {"id": 67, "name": "Purchase order", "type": "text"},
    {"id": 68, "name": "Reference", "type": "text", "tag": {**FRAMEWORK, "dataTag": True}},
    {"id": 69, "name": "Reference", "type": "number", "tag": {**LICENCE, "dataTag": True}},
    {"id": 70, "name": "Renews on", "type": "date", "tag": {**LICENCE, "dataTag": True}},
]
WON_SUM = "bbc7a4b4-78eb-3bbd-85bb-9f20ec2e3f5d"
WON_COUNT = "264be3b0-490b-3d73-ae0d-d02b488ba1eb"
CREATED_SUM = "7b05186c-c342-343f-8236-121dfbb2ae45"
CREATED_COUNT = "18305eb9-2c50-35ba-88e5-876be543e055"
REACHED_COUNT = "1659cb58-2401-30eb-aa82-c42771aea74e"


@dataclass(frozen=True)
class Owner:
    """A seller: how often they win, how far they bend a probability, which team they are in."""

    id: int
    username: str
    name: str
    team: int
    skill: float  # multiplies the chance to win
    bend: int  # percentage points added when they override a probability
    former: str = ""  # the user name until `RENAMED_ON`, if it was another

    def user(self) -> dict[str, Any]:
        """Return the owner as a record shows them."""
        return {"id": self.id, "username": self.username, "name": self.name}


OWNERS = (
    Owner(21, "mllewellyn", "Megan Llewellyn", 0, 1.30, -10),
    Owner(22, "tashworth", "Tom Ashworth", 0, 0.70, 20),
    Owner(23, "praman", "Priya Raman", 0, 1.10, 5),
    Owner(24, "creid", "Callum Reid", 0, 0.85, 15),
    Owner(25, "ingrid.solberg", "Ingrid Solberg", 1, 1.05, -5, former="isolberg"),
    Owner(26, "mduarte", "Mateus Duarte", 1, 0.80, 15),
)
RENAMED_ON = date(2026, 3, 16)
TEAMS = [
    {
        "id": number,
        "name": name,
        "memberships": [{"user": one.user()} for one in OWNERS if one.team == place],
        "createdAt": OPENED,
        "updatedAt": OPENED,
    }
    for place, (number, name) in enumerate([(31, "Home accounts"), (32, "Overseas accounts")])
]


@dataclass(frozen=True)
class Goal:
    """A goal of 2026 or the year before: what is counted, of whom and where, and how much."""

    id: int
    name: str
    type: str
    frequency: str
    targets: tuple[int, ...]  # a target for each period
    year: int = 2026
    currency: str | None = None  # of a sum
    owner: Owner | None = None
    ladder: Ladder | None = None
    step: int | None = None  # index of the milestone that is to be reached


MONTHS = (0.9, 0.9, 1.3, 0.9, 0.9, 1.2, 0.9, 0.7, 1.2, 1.0, 1.1, 1.0)
GOALS = (
    Goal(91, "Won in 2026", WON_SUM, "MONTHLY", tuple(round(180_000 * m) for m in MONTHS),
         currency="GBP"),
    Goal(92, "Won in 2025", WON_SUM, "YEARLY", (1_900_000,), 2025, "GBP"),
    Goal(93, "Megan's year", WON_SUM, "YEARLY", (800_000,), currency="GBP", owner=OWNERS[0]),
    Goal(94, "Tom's year", WON_SUM, "YEARLY", (380_000,), currency="GBP", owner=OWNERS[1]),
    Goal(95, "Overseas in euros", WON_SUM, "YEARLY", (260_000,), currency="EUR", owner=OWNERS[4]),
    Goal(96, "Retainers", WON_SUM, "YEARLY", (700_000,), currency="GBP", ladder=RETAINERS),
    Goal(97, "New retainers", WON_COUNT, "MONTHLY", (3,) * 12, ladder=RETAINERS),
    Goal(98, "Enquiries of Priya", CREATED_COUNT, "MONTHLY", (4,) * 12, owner=OWNERS[2]),
    Goal(99, "New business entered", CREATED_SUM, "YEARLY", (9_000_000,), currency="GBP"),
    Goal(100, "Proposals", REACHED_COUNT, "MONTHLY", (10,) * 12, ladder=SALES, step=PROPOSAL),
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A sort of work: its duration basis, share of deals, prices a unit and usual durations."""

    basis: str
    share: float
    prices: tuple[int, ...]  # quantiles, in pounds a unit
    step: int  # prices are quoted in multiples of this
    durations: tuple[int, ...]
    titles: tuple[str, ...]


KINDS = (
    Kind("FIXED", 44, (3500, 8000, 15000, 26000, 46000, 105000), 250, (), (
        "Data strategy review", "Warehouse KPI dashboard", "CRM migration", "Board reporting pack",
        "Demand forecast model", "Cost-to-serve study", "Stock accuracy project", "Pricing review",
        "Finance system selection", "Customer churn study", "Route planning pilot",
    )),
    Kind("DAY", 18, (700, 825, 950, 1100, 1350), 25, (5, 8, 10, 12, 15, 20, 25, 30, 40, 60), (
        "Interim data lead", "Process mapping", "Discovery days", "Analytics coaching",
        "Programme assurance", "Operations review",
    )),
    Kind("MONTH", 16, (1100, 2000, 3000, 4400, 7200), 50, (3, 6, 6, 12, 12, 12, 18, 24), (
        "Reporting retainer", "Advisory retainer", "Managed analytics", "Support retainer",
        "Fractional head of data",
    )),
    Kind("YEAR", 11, (2400, 5500, 9000, 16000, 32000), 100, (1, 1, 1, 2, 3, 3), (
        "Forecasting licence", "Benchmark licence", "Planning tool licence", "Site licence",
    )),
    Kind("HOUR", 5, (95, 125, 150, 190), 5, (16, 24, 40, 60, 80, 120, 160), (
        "Ad hoc support hours", "Report fixes", "Expert review hours",
    )),
    Kind("WEEK", 3, (3800, 4600, 5400, 7000), 100, (2, 3, 4, 6, 8, 10), (
        "Design sprint", "Prototype sprint", "Data clean-up sprint",
    )),
    Kind("QUARTER", 3, (4500, 7500, 11000, 17000), 250, (2, 4, 4, 8), (
        "Quarterly planning service", "Quarterly audit", "Price index service",
    )),
)  # fmt: skip
SUFFIXES = {"": 60, " phase 2": 8, " phase 3": 3, " - pilot": 6, " - extension": 8,
            " {year}": 12}  # fmt: skip
ODD_NAMES = {  # by opportunity: whatever reads the account must survive what people type
    1336: "需要予測モデル",
    1448: "Site survey\n(north and south)",
    1476: "Tenants' Q&A portal",
    1511: "Προβλέψεις πωλήσεων",
    1524: 'The "quick win" sprint',
    1531: "=SUM(B2:B13) workbook audit",
    1539: "Margin < 5% rescue plan",
    1565: "Überprüfung der Kostenstellen",
    1587: "🚀 Launch analytics",
    1594: "Accounts > £1m: pricing",
    1607: "<b>Bold</b> brand study",
}
DESCRIPTIONS = (
    "Met at their head office; wants a start within the quarter.",
    "Sponsor is the finance director. Procurement to confirm terms.",
    "Follow-on from earlier work, same sponsor.",
    "Two other firms are bidding.",
    "Needs sign-off from the board, which meets monthly.",
    "Budget is approved; scope is still moving.",
    "They have tried this in-house once & want it done properly.",
    "Came through the website.\nCalled back the same day.",
    "Asked for references from the same sector.",
    "Depends on their new system going live first.",
    'Sponsor says "soon"; no date in writing.',
    "Price agreed in principle, legal to review <their template>.",
)
CURRENCIES = {"GBP": 70, "EUR": 15, "USD": 10, "CHF": 5}  # and their share of the deals
UNITS_PER_100_GBP = {"GBP": 100, "EUR": 116, "USD": 130, "CHF": 112}
STEMS = {
    "GBP": "Ashdown Brindle Calder Dunmore Elmstead Fenwick Garsdale Hartwell Inverleith Kelbrook "
    "Lydgate Marsh&Moor Netherby Oakhanger Penrose Quarry Rosedale Selwick Thornbury Ullswater "
    "Vexford Wharfe Yarrow Aldgate Birchwood Cromer Dalesman Everdon Foxley Glenmorie Hallam "
    "Kingsmead Larkfield Mossley O'Hare Pembury Ravensby Stanmere Trevena Whitby Llanfair",
    "EUR": "Althof Béziers-Sud Castelnuovo Domäne Ekenäs Fiorita Groenveld Karlsfeld Δελφίνι "
    "Lützow Montclar Nieuwpoort Škofja",
    "USD": "Bluestem Cedar-Rapids Dogwood Juniper Lakeshore Prairie Redstone Saguaro 北浜",
    "CHF": "Aarequai Bernina Engadin Lémanique Säntis",
}
TRADES = {
    "GBP": ("Logistics", "Foods Ltd", "Housing Trust", "Engineering", "Borough Council", "Textiles",
            "NHS Trust", "Brewery", "Garden Centres", "Insurance plc", "College", "Joinery & Sons"),
    "EUR": ("GmbH", "S.A.", "B.V.", "S.r.l.", "Oy", "Logistik AG"),
    "USD": ("Inc.", "Foods Co.", "Freight LLC", "Health"),
    "CHF": ("AG", "SA", "Präzision AG"),
}  # fmt: skip
BRITISH = ("Amelia Rhys Grace Hamish Beth Callum Joan", "Barrow Sinclair Whitlock Pryce Thorne")
ASIAN_BRITISH = ("Noor Sanjay Aisha Imran", "Khan Patel Rahman")
WEST_AFRICAN_BRITISH = ("Oluwaseun Chidi Ngozi", "Adeyemi Okafor")
IRISH = ("Aoife Ciarán", "D'Arcy O'Dowd")
CONTINENTAL = ("Zoë Jürgen Łukasz Chloé Marta", "Müller Novák Castellani Søndergaard Ferreira")
PEOPLE = {  # first names and last names that go together
    "GBP": (BRITISH, BRITISH, BRITISH, ASIAN_BRITISH, WEST_AFRICAN_BRITISH, IRISH),
    "EUR": (CONTINENTAL, CONTINENTAL, IRISH),
    "USD": (("Wei Dana Marcus Elena", "Chen Whitaker Alvarez"),),
    "CHF": (CONTINENTAL,),
}

# Chance, January first, that a deal ready to close does so then and not some weeks later: clients'
# budgets end in March, quarters in June and September, and few sign in August and December.
CLOSING = (0.45, 0.45, 1.0, 0.5, 0.55, 0.8, 0.55, 0.25, 0.65, 0.55, 0.65, 0.35)
INTAKE = (1.2, 1.1, 1.1, 0.9, 1.0, 1.0, 0.9, 0.6, 1.2, 1.2, 1.1, 0.5)  # deals a month, relative
BASE_INTAKE, GROWTH = 17.6, 0.015  # deals in an average first month; added share a month

WIN_CHANCE = 0.45
BANDS = ((10_000, 1.25), (40_000, 1.0), (None, 0.62))  # value below it in pounds; chance to win
WIN_DAYS = (14, 40, 75, 110, 160, 230, 340)  # quantiles of the days from creation to close
LOSS_DAYS = (30, 95, 175, 270, 370, 490, 670)  # lost deals linger
WIN_ENTRY = {0: 15, 1: 35, 2: 50}  # index of the first milestone: clients known skip the early ones
LOSS_ENTRY = {0: 55, 1: 30, 2: 15}
WIN_LAST = {2: 6, 3: 30, 4: 64}  # index of the last open milestone
LOSS_LAST = {0: 20, 1: 22, 2: 25, 3: 20, 4: 13}
ATTENTION = {0.03: 26, 0.18: 48, 0.45: 26}  # chance, at each look, to correct a date that slipped
