"""Who a report is sent to, and with what; checked before anything is loaded, sent at the end."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from capsule_analytics.deliver import (
    MailServer,
    Webhook,
    check_address,
    message_of,
    send_mail,
    send_slack,
)
from capsule_analytics.errors import ArgumentError, DeliveryError

from ._account import read_secret
from ._options import PASSWORD_VARIABLE, WEBHOOK_VARIABLE, is_typed
from ._run import say

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capsule_analytics.deliver import Message
    from capsule_analytics.report import Figures

    from ._args import ReportArgs


@dataclass(frozen=True)
class Delivery:
    """Where a report goes.

    Attributes
    ----------
    recipients
        Mail addresses.
    server
        The mail server; None where there are no recipients.
    webhook
        Slack's; None where nothing goes to Slack.
    deal_url
        What the address of a deal begins with; empty for no links.
    folder
        Where the report is.
    """

    recipients: tuple[str, ...]
    server: MailServer | None
    webhook: Webhook | None
    deal_url: str
    folder: Path

    def send(self, figures: Figures, files: list[Path]) -> None:
        """Send a report that is in its folder, every way although another failed.

        Raises
        ------
        DeliveryError
            If one of them failed.
        """
        message = message_of(
            figures,
            files,
            projection=figures.projected,
            track_record=f"Track record: {figures.track_words}." if figures.outlook else "",
            deal_url=self.deal_url,
        )
        failures = []
        for words, send in self._ways(message):
            try:
                send()
            except DeliveryError as error:
                failures.append(str(error))
            else:
                say(words)
        if failures:
            raise DeliveryError(
                f"the report in {self.folder} is whole, but was not sent to everyone: "
                f"{'; '.join(failures)}"
            )

    def _ways(self, message: Message) -> list[tuple[str, Callable[[], None]]]:
        ways: list[tuple[str, Callable[[], None]]] = []
        server, webhook = self.server, self.webhook
        if server is not None:
            words = f"Sent to {', '.join(self.recipients)}"
            ways.append((words, lambda: send_mail(message, self.recipients, server)))
        if webhook is not None:
            ways.append(("Posted to Slack", lambda: send_slack(message, webhook)))
        return ways


def delivery(context: click.Context, args: ReportArgs) -> Delivery | None:
    """Read where the report goes; None where it stays.

    Recipients that the configuration names get no report of the sample account.

    Raises
    ------
    click.UsageError
        If something that is needed is missing or not valid.
    ConfigError
        If a file with a secret cannot be read.
    """

    def asked(name: str) -> Any:  # noqa: ANN401 - the addresses, or the flag
        return getattr(args, name) if is_typed(context, name) or not args.sample else None

    recipients = tuple(dict.fromkeys(asked("email") or ()))
    try:
        for address in recipients:
            check_address(address)
        server = _server(args) if recipients else None
        webhook = _webhook(args) if asked("slack") else None
    except ArgumentError as error:
        raise click.UsageError(str(error)) from error
    if server is None and webhook is None:
        return None
    deal_url = f"https://{args.account}.capsulecrm.com/opportunity/" if args.account else ""
    return Delivery(recipients, server, webhook, deal_url, args.out)


def _server(args: ReportArgs) -> MailServer:
    if args.smtp_host is None or args.smtp_from is None:
        raise click.UsageError(
            "--email needs a mail server and a sender: set smtp-host and smtp-from in capsule.toml,"
            " or CAPSULE_SMTP_HOST and CAPSULE_SMTP_FROM"
        )
    password = _secret(args.smtp_password_file, PASSWORD_VARIABLE, "password")
    if args.smtp_user is not None and not password:
        raise click.UsageError(
            f"no password of the mail server: set {PASSWORD_VARIABLE} or smtp-password-file"
        )
    return MailServer(
        args.smtp_host,
        args.smtp_from,
        port=args.smtp_port,
        security=args.smtp_security,
        user=args.smtp_user,
        password=password if args.smtp_user is not None else "",
        timeout=args.timeout,
    )


def _webhook(args: ReportArgs) -> Webhook:
    url = _secret(args.slack_webhook_file, WEBHOOK_VARIABLE, "webhook")
    if not url:
        raise click.UsageError(
            f"--slack needs a webhook: set {WEBHOOK_VARIABLE} or slack-webhook-file"
        )
    return Webhook(url, timeout=args.timeout)


def _secret(file: Path | None, variable: str, what: str) -> str:
    """Read a secret from its file, or else from the environment; empty where it is in neither."""
    return os.environ.get(variable, "").strip() if file is None else read_secret(file, what)
