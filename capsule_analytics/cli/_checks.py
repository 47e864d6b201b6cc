"""Options of ``capsule-report`` that contradict each other, or would have no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ._options import FIELD, GOALS, Option, is_typed

if TYPE_CHECKING:
    from ._args import ReportArgs


def check_options(context: click.Context, args: ReportArgs) -> None:
    """Refuse what was typed and would mislead.

    Raises
    ------
    click.UsageError
        If an option would have no effect beside the others, or contradicts one.
    """
    options = {str(one.name): one for one in context.command.params if isinstance(one, Option)}
    for name, option in options.items():
        if not is_typed(context, name):
            continue
        typed = option.opts[0]
        if args.portfolio is not None and not option.portfolio:
            raise click.UsageError(f"{typed} is of no use with --portfolio")
        if option.needs is not None and not getattr(args, option.needs):
            needed = options[option.needs].opts[0]
            raise click.UsageError(f"{typed} is of no use without {needed}")
        if name == "store" and args.sample:
            raise click.UsageError("--store is of no use with --sample, which has its own history")
    if is_typed(context, "snapshot"):
        _check_snapshot(args)
    _check_together(args)


def _check_together(args: ReportArgs) -> None:
    """Refuse options that contradict one another."""
    if args.targets == GOALS and not (args.live and args.api_version == "v2"):
        raise click.UsageError(f"--targets {GOALS} needs an account over API v2, which has goals")
    if args.best_case > args.commit:
        raise click.UsageError(
            f"--best-case {args.best_case:g} must not be above --commit {args.commit:g}"
        )
    if args.verify:
        _check_verify(args)
    if args.live and args.api_version == "v1":
        _check_v1(args)
    if args.changes_since is not None and args.portfolio is None and args.selection:
        raise click.UsageError("--changes-since compares whole accounts, not a selection")


def _check_v1(args: ReportArgs) -> None:
    if "tag" in args.by:
        raise click.UsageError("--by tag needs --api-version v2: v1 does not tell a deal's tags")
    if args.field or any(by.startswith(FIELD) for by in args.by):
        raise click.UsageError("custom fields need --api-version v2: v1 does not tell them")


def _check_snapshot(args: ReportArgs) -> None:
    """Record nothing but an account that is loaded as it is today."""
    if args.sample:
        raise click.UsageError("--snapshot is of no use with --sample: it never changes")
    if args.as_of is not None:
        raise click.UsageError("--snapshot records how the account is today, without --as-of")


def _check_verify(args: ReportArgs) -> None:
    if not args.live:
        raise click.UsageError("--verify asks a live account: give --account or --base-url")
    if args.selection:
        raise click.UsageError("--verify compares whole accounts, not a selection")
