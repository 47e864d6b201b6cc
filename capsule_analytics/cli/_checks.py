"""Options of ``capsule-report`` that contradict each other, or would have no effect."""

from __future__ import annotations

import click

from ._account import is_typed

_OF_PORTFOLIO = frozenset(
    {
        "portfolio", "scheduler", "unreadable", "no_ranges", "out", "as_of", "changes_since", "by",
        "period", "fiscal_year_start", "overdue", "home_currency", "rates", "missing_rate",
        "correlation", "target", "verbose",
    }
)  # fmt: skip
"""Options that a portfolio's report takes."""

_NEEDED = {
    "scheduler": "portfolio",
    "unreadable": "portfolio",
    "no_ranges": "portfolio",
    "rates": "home_currency",
    "missing_rate": "home_currency",
}
"""Options that are of use with another one alone."""


def check_options() -> None:
    """Refuse what was typed and would mislead.

    Raises
    ------
    click.UsageError
        If an option would have no effect beside the others, or contradicts one.
    """
    context = click.get_current_context()
    chosen = context.params
    names = {str(parameter.name): parameter.opts[0] for parameter in context.command.params}
    for name, typed in names.items():
        if not is_typed(context, name):
            continue
        if chosen["portfolio"] is not None and name not in _OF_PORTFOLIO:
            raise click.UsageError(f"{typed} is of no use with --portfolio")
        needed = _NEEDED.get(name)
        if needed is not None and chosen[needed] is None:
            raise click.UsageError(f"{typed} is of no use without {names[needed]}")
        if name == "store" and chosen["sample"]:
            raise click.UsageError("--store is of no use with --sample, which has its own history")
    if chosen["best_case"] > chosen["commit"]:
        raise click.UsageError(
            f"--best-case {chosen['best_case']:g} must not be above --commit {chosen['commit']:g}"
        )
    live = chosen["account"] is not None or chosen["base_url"] is not None
    if live and chosen["api_version"] == "v1" and "tag" in chosen["by"]:
        raise click.UsageError("--by tag needs --api-version v2: v1 does not tell a deal's tags")
