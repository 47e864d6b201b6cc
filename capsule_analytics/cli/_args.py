"""What was asked of a report, typed: one object from the command line to the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._account import AccountArgs

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from capsule_analytics._deals import Overdue, Period
    from capsule_analytics.deliver import Security


@dataclass(frozen=True, kw_only=True)
class ReportArgs(AccountArgs):
    """What was asked of ``capsule-report``: a field for each of `REPORT_OPTIONS`."""

    portfolio: str | None
    scheduler: str | None
    unreadable: str
    no_ranges: bool
    milestone: tuple[str, ...]
    tag: tuple[str, ...]
    owner: tuple[str, ...]
    pipeline: tuple[str, ...]
    team: tuple[str, ...]
    status: tuple[str, ...]
    field: tuple[tuple[str, str], ...]
    verify: bool
    as_of: date | None
    overdue: Overdue
    by: tuple[str, ...]
    period: Period
    fiscal_year_start: int
    home_currency: str | None
    rates: Path | None
    missing_rate: str
    probability: str
    correlation: float
    commit: float
    best_case: float
    target: float | None
    targets: Path | str | None
    changes_since: date | None
    store: Path | None
    snapshot: bool
    full_every: int
    no_projection: bool
    formats: tuple[str, ...]
    html: bool
    xlsx: bool
    email: tuple[str, ...]
    slack: bool
    smtp_host: str | None
    smtp_port: int | None
    smtp_security: Security
    smtp_from: str | None
    smtp_user: str | None
    smtp_password_file: Path | None
    slack_webhook_file: Path | None
    out: Path

    @property
    def selection(self) -> str:
        """The selection of deals in words; empty where all of the account's are loaded."""
        chosen = {
            "milestone": self.milestone,
            "tag": self.tag,
            "owner": self.owner,
            "pipeline": self.pipeline,
            "team": self.team,
            "status": self.status,
            **self.fields,
        }
        return ", ".join(
            f"{name} {' or '.join(values)}" for name, values in chosen.items() if values
        )

    @property
    def fields(self) -> dict[str, list[str]]:
        """The values of each custom field that will do."""
        wanted: dict[str, list[str]] = {}
        for name, value in self.field:
            wanted.setdefault(name, []).append(value)
        return wanted

    @property
    def selects_won(self) -> bool:
        """Whether won deals are among the selected, as the projection needs them."""
        return not self.milestone and (not self.status or "won" in self.status)

    @property
    def records(self) -> bool:
        """Whether the account is recorded; a configuration's ``snapshot`` is for live ones."""
        return self.snapshot and self.live and self.as_of is None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that are read, and that no file of the report may replace."""
        secrets = (self.token_file, self.smtp_password_file, self.slack_webhook_file)
        files = (self.targets, self.rates, *secrets)
        return tuple(file for file in files if file is not None and not isinstance(file, str))
