"""A real mail server on loopback (aiosmtpd), with TLS and a login, that keeps what it takes."""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "forecast@example.com"
PASSWORD = "p4ss&word<of>mail"


@dataclass
class Received:
    """What the server took, and where it is."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)


class _Handler:
    def __init__(self, received: Received, refuses: tuple[str, ...]) -> None:
        self.received = received
        self.refuses = refuses

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:  # noqa: N802
        if address in self.refuses:
            return "550 nobody of that name here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.received.mails.append(mail)
        self.received.recipients.append(envelope.rcpt_tos)
        return "250 OK"


@cache
def authority() -> trustme.CA:
    """Make the authority that signs the servers' certificates."""
    return trustme.CA()


def trusted(folder: Path) -> str:
    """Write the authority's certificate where ``SSL_CERT_FILE`` can name it."""
    path = folder / "authority.pem"
    authority().cert_pem.write_to_path(path)
    return str(path)


def server_context(*names: str) -> ssl.SSLContext:
    """Make what a server needs for TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    return context


@contextmanager
def mail_server(
    *,
    security: str = "starttls",
    refuses: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    login: bool = True,
) -> Iterator[Received]:
    """Run it: with STARTTLS, with TLS from the first byte, or with none."""
    received = Received()
    context = None if security == "none" else server_context(*names)

    def check(_: Any, __: Any, ___: Any, ____: Any, given: Any) -> AuthResult:
        received.logins.append((given.login, given.password))
        right = (given.login, given.password) == (USER.encode(), PASSWORD.encode())
        # The password is echoed, as some servers do.
        wrong = f"535 wrong password {given.password.decode()}"
        return AuthResult(success=right, handled=False, message=None if right else wrong)

    def protocol() -> SMTP:
        return SMTP(
            _Handler(received, refuses),
            hostname="mail.example.com",
            tls_context=context if security == "starttls" else None,
            require_starttls=security == "starttls",
            authenticator=check,
            auth_required=login,
            auth_require_tls=security == "starttls",
            loop=loop,
        )

    loop = asyncio.new_event_loop()

    async def start() -> asyncio.Server:
        return await loop.create_server(
            protocol, "127.0.0.1", 0, ssl=context if security == "tls" else None
        )

    server = loop.run_until_complete(start())
    received.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(_finish(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _finish() -> None:
    """Let the conversations end that are under way."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
