"""The setting of the sample account: who sells what to whom, and how the odds lie.

Only tables stand here; ``sample_deals.py`` lives the deals through. Percentages and odds are set
so that the stated probabilities are too high where the money is: late milestones, large deals,
and the owners who hope most.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

SEED = 604
AS_OF = date(2026, 10, 15)  # read before work began that day, so the last changes are a day old
FIRST_DAY = date(2024, 4, 15)
FIRST_ID = 1001

ACCOUNT = {"subdomain": "tarnreed", "name": "Tarn & Reed Consulting Ltd", "asOf": str(AS_OF)}
PIPELINE = {"id": 1, "name": "Sales"}
OPEN_MILESTONES = (
    {"id": 11, "name": "Lead", "description": "A need, a person and a rough date"},
    {"id": 12, "name": "Qualified", "description": "Budget and decision maker are known"},
    {"id": 13, "name": "Proposal", "description": "A priced proposal is with the client"},
    {"id": 14, "name": "Negotiation", "description": "Terms and scope are being agreed"},
    {"id": 15, "name": "Contract out", "description": "Agreed in words, not yet signed"},
)
OPEN_PERCENT = (10, 25, 50, 70, 90)
PROPOSAL = 2  # index of the first milestone with a price on the table
WON = {"id": 16, "name": "Won", "description": "Signed"}
LOST = {"id": 17, "name": "Lost", "description": "Closed without an order"}
MILESTONES = [
    {**milestone, "probability": percent, "complete": complete, "pipeline": PIPELINE}
    for milestone, percent, complete in [
        *((m, p, False) for m, p in zip(OPEN_MILESTONES, OPEN_PERCENT, strict=True)),
        (WON, 100, True),
        (LOST, 0, True),
    ]
]
TEAMS = [{"id": 31, "name": "Home accounts"}, {"id": 32, "name": "Overseas accounts"}]
LOST_REASONS = [
    {"id": 41, "name": "Price"},
    {"id": 42, "name": "Chose a competitor"},
    {"id": 43, "name": "No budget"},
    {"id": 44, "name": "No decision"},
    {"id": 45, "name": "Project cancelled"},
    {"id": 46, "name": "Did it in-house"},
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
LEAD_SOURCE = {"id": 61, "name": "Lead source"}
LEAD_SOURCES = ("Website", "Referral", "Conference", "Tender portal", "Repeat business")


@dataclass(frozen=True)
class Owner:
    """A seller: how often they win, how far they bend a probability, which team they are in."""

    id: int
    username: str
    name: str
    team: int
    skill: float  # multiplies the chance to win
    bend: int  # percentage points added when they override a probability

    def user(self) -> dict[str, Any]:
        """Return the owner as a record shows them."""
        return {"id": self.id, "username": self.username, "name": self.name}


OWNERS = (
    Owner(21, "mllewellyn", "Megan Llewellyn", 0, 1.30, -10),
    Owner(22, "tashworth", "Tom Ashworth", 0, 0.70, 20),
    Owner(23, "praman", "Priya Raman", 0, 1.10, 5),
    Owner(24, "creid", "Callum Reid", 0, 0.85, 15),
    Owner(25, "isolberg", "Ingrid Solberg", 1, 1.05, -5),
    Owner(26, "mduarte", "Mateus Duarte", 1, 0.80, 15),
)


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
