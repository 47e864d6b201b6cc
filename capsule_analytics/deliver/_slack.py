"""A message as a post to Slack's incoming webhook, whose address is the secret."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from capsule_analytics._deadline import DeadlineAdapter
from capsule_analytics._safe_text import keep_secret, safe
from capsule_analytics.api import USER_AGENT, is_loopback
from capsule_analytics.errors import ArgumentError, DeliveryError

if TYPE_CHECKING:
    from ._message import Message, Table

_CONNECT_SECONDS = 10.0
_WORDS = 300  # characters of the server's own explanation that are shown
_READ = 10_000  # bytes of it that are read for that
_FAILED = {
    requests.exceptions.SSLError: "the server's certificate cannot be verified",
    requests.ConnectTimeout: "the server cannot be reached in time",
    requests.exceptions.ChunkedEncodingError: "the answer was cut off; it may have been posted",
    requests.ConnectionError: "the connection failed or was lost",
}
# Slack's own limits of a block.
_HEADER = 150
_SECTION = 3000


@dataclass(frozen=True)
class Webhook:
    """An incoming webhook of Slack.

    Attributes
    ----------
    url
        Its address. Whoever knows it can post, so it is shown nowhere.
    timeout
        Seconds within which the answer must be there, by the clock on the wall.

    Raises
    ------
    ArgumentError
        If it is no https address; plain http only to this machine itself.
    """

    url: str = field(repr=False)
    timeout: float = 60.0

    def __post_init__(self) -> None:
        """Keep the address out of every message, and check it."""
        keep_secret(self.url)
        problem = "the webhook's address is no https URL"
        try:
            parts = urlsplit(self.url)
            named = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise ArgumentError(problem) from None
        plain = self.url.isprintable() and " " not in self.url and "@" not in parts.netloc
        if not named or not plain or (parts.scheme == "http" and not is_loopback(self.url)):
            raise ArgumentError(problem)
        if parts.path.strip("/"):
            keep_secret(parts.path, parts.path.rpartition("/")[2])


def send_slack(message: Message, webhook: Webhook) -> None:
    """Post a message to Slack: headline, changes, and the deals that need someone.

    It is posted once: a lost answer does not tell whether it arrived. No redirect is followed.

    Parameters
    ----------
    message
        What is said.
    webhook
        Where to.

    Raises
    ------
    DeliveryError
        If Slack did not take it.
    """
    problem = _problem(_body(message), webhook)
    if problem:  # Raised out here: what it came from may quote the address.
        raise DeliveryError(f"Slack: {problem}")


def _problem(body: dict[str, Any], webhook: Webhook) -> str:
    """Post, and say what went wrong; nothing if all is well."""
    limit: Any = Timeout(connect=min(_CONNECT_SECONDS, webhook.timeout), total=webhook.timeout)
    with requests.Session() as session:
        session.headers["User-Agent"] = USER_AGENT
        session.trust_env = not is_loopback(webhook.url)
        session.mount(webhook.url, DeadlineAdapter())
        began = time.monotonic()
        try:
            answer = session.post(webhook.url, json=body, timeout=limit, allow_redirects=False)
        except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            if time.monotonic() - began >= webhook.timeout:
                return f"no answer within {webhook.timeout:g} s; it may have been posted"
            known = (words for kind, words in _FAILED.items() if isinstance(error, kind))
            return next(known, f"the request failed ({type(error).__name__})")
    if answer.status_code < 300:  # noqa: PLR2004
        return ""
    if answer.status_code < 400:  # noqa: PLR2004
        return f"{answer.status_code}: redirected, and the message goes to no other address"
    text = answer.content[:_READ].decode("utf-8", "replace")
    words = " ".join(safe(text).split())[:_WORDS]  # safe before it is cut
    return f"{answer.status_code}{': ' * bool(words)}{words}"


def _body(message: Message) -> dict[str, Any]:
    """Write the message in Slack's blocks."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": message.subject[:_HEADER]}},
        _section([_escaped(line) for line in message.headline]),
    ]
    blocks += [_section(_lines(one)) for one in (message.changes, message.needs) if one is not None]
    notes = " ".join(map(_escaped, message.notes))
    if notes:
        blocks.append({"type": "context", "elements": [_text(notes[:_SECTION])]})
    return {"text": _escaped(message.subject), "blocks": blocks}


def _lines(table: Table) -> list[str]:
    lines = [f"*{_escaped(table.title)}*"]
    for number, (first, *rest) in enumerate(table.rows):
        name, link = _escaped(first), table.links[number] if table.links else ""
        shown = f"<{link}|{name}>" if link else name
        lines.append(f"\N{BULLET} {shown}: {', '.join(map(_escaped, filter(None, rest)))}")
    return [*lines, _escaped(table.note)] if table.note else lines


def _section(lines: list[str]) -> dict[str, Any]:
    """Take as many lines as Slack allows."""
    while len("\n".join(lines)) > _SECTION:
        lines = lines[:-1]
    return {"type": "section", "text": _text("\n".join(lines))}


def _text(words: str) -> dict[str, Any]:
    """Take words as they are: no name becomes a channel, a person or a link."""
    return {"type": "mrkdwn", "text": words, "verbatim": True}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
