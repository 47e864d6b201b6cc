"""A message as a mail, and the SMTP server that takes it.

The whole conversation has one time limit by the clock on the wall: `smtplib` starts its own anew
with every line, so a server that says one now and then would be waited for without end.
"""

from __future__ import annotations

import base64
import re
import smtplib
import socket
import ssl
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass, field
from email.header import Header
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, localtime, make_msgid
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from capsule_analytics._safe_text import keep_secret, safe
from capsule_analytics.api import is_loopback
from capsule_analytics.errors import ArgumentError, DeliveryError, missing_extra

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import MIMEPart

    from ._message import Message

Security = Literal["starttls", "tls", "none"]

PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "none": 25}

_TEMPLATES = Path(__file__).parent / "templates"
_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")
_LONGEST_ADDRESS = 254
_WORDS = 300  # characters of the server's own explanation that are shown
_FAREWELL = 2.0  # seconds


def check_address(address: str) -> str:
    """Insist on a plain mail address, and return it.

    Parameters
    ----------
    address
        The address, as ``to@example.com``.

    Raises
    ------
    ArgumentError
        If it is none.

    Examples
    --------
    >>> check_address("ann@example.com")
    'ann@example.com'
    """
    plain = address.isprintable() and len(address) <= _LONGEST_ADDRESS
    if not plain or not _ADDRESS.fullmatch(address):
        raise ArgumentError(f"{address!r} is no mail address such as to@example.com")
    return address


@dataclass(frozen=True)
class MailServer:
    """An SMTP server that takes mail, and who sends.

    Attributes
    ----------
    host
        Its name.
    sender
        The address that the mail comes from.
    port
        Its port; None for the usual one: 587, 465 or 25.
    security
        ``starttls`` or ``tls`` from the first byte; ``none`` only on this machine itself.
    user, password
        To log in with; None and empty for no login. The password is shown nowhere.
    timeout
        Seconds within which the mail must be taken, by the clock on the wall.

    Raises
    ------
    ArgumentError
        If one of them is not valid, or the password would cross the network in the clear.
    """

    host: str
    sender: str
    port: int | None = None
    security: Security = "starttls"
    user: str | None = None
    password: str = field(default="", repr=False)
    timeout: float = 60.0

    def __post_init__(self) -> None:
        """Check it, and keep the password out of every message."""
        user = self.user or ""
        if self.password:
            login = f"\0{user}\0{self.password}".encode()  # as it travels
            keep_secret(self.password, base64.b64encode(login).decode())
        check_address(self.sender)
        if not self.host or not self.host.isprintable() or set(self.host) & set(" /@"):
            raise ArgumentError(f"{self.host!r} is no name of a mail server")
        if self.security not in PORTS:
            raise ArgumentError(f"security is starttls, tls or none, not {self.security!r}")
        if bool(user) != bool(self.password):
            raise ArgumentError("the mail server needs both a user and a password, or neither")
        if not (user + self.password).isascii() or not (user + self.password).isprintable():
            raise ArgumentError("the mail server's user or password has characters it cannot take")
        name = f"[{self.host}]" if ":" in self.host else self.host
        if self.security == "none" and not is_loopback(f"smtp://{name}"):
            raise ArgumentError(
                f"{self.host}: a mail without TLS could be read on the way; use starttls or tls"
            )


def send_mail(message: Message, recipients: Sequence[str], server: MailServer) -> None:
    """Send a message as one mail to all recipients, who see each other.

    Parameters
    ----------
    message
        What is said.
    recipients
        Addresses.
    server
        What takes the mail.

    Raises
    ------
    ArgumentError
        If an address is none.
    DeliveryError
        If the server did not take the mail, or not for all recipients; the others got it.
    MissingExtraError
        If the extra ``html`` is not installed.
    """
    mail = _mail(message, [check_address(one) for one in recipients], server.sender)
    sending = _Sending(mail, server)
    try:
        refused = sending.outcome.result(server.timeout)
    except FutureTimeoutError:
        perhaps = "; it may have been taken" if sending.step == _LAST_STEP else ""
        problem = f"no answer within {server.timeout:g} s while {sending.step}{perhaps}"
    except Exception as error:  # noqa: BLE001 - whatever it is, its words may quote the password
        problem = _words(error, sending.step)
    else:
        problem = f"refused {_refusals(refused)}; the others got it" if refused else ""
    finally:
        sending.end()
    if problem:  # Raised out here: what it came from may quote the server, and so the password.
        raise DeliveryError(f"mail server {server.host}: {problem}")


class _Policy(EmailPolicy):
    """Writes subjects as older readers know them: by itself it doubles a blank where it folds."""

    def fold_binary(self, name: str, value: str) -> bytes:
        """Write a header line."""
        if name != "Subject" or value.isascii():
            return super().fold_binary(name, value)
        words = Header(str(value), "utf-8", header_name=name).encode(linesep=self.linesep)
        return f"{name}: {words}{self.linesep}".encode("ascii")


def _mail(message: Message, recipients: Sequence[str], sender: str) -> EmailMessage:
    mail = EmailMessage(policy=_Policy(linesep="\r\n", cte_type="7bit"))
    mail["From"], mail["To"] = sender, ", ".join(recipients)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(localtime())
    domain = sender.rpartition("@")[2]
    mail["Message-ID"] = make_msgid(domain=domain)  # by itself it would name this machine
    mail["Auto-Submitted"] = "auto-generated"  # so that nobody's absence note answers it
    cid = make_msgid(domain=domain)
    mail.set_content(message.text)
    mail.add_alternative(_html(message, cid), subtype="html")
    html = cast("MIMEPart", mail.get_body(["html"]))
    for shown in message.pictures[:1]:
        html.add_related(
            shown.data, "image", "png", disposition="inline", cid=cid, filename=shown.file
        )
    for picture in message.pictures[1:]:
        mail.add_attachment(picture.data, "image", "png", filename=picture.file)
    if message.page is not None:
        mail.add_attachment(message.page, "text", "html", filename="report.html")
    return mail


def _html(message: Message, cid: str) -> str:
    try:
        import jinja2  # noqa: PLC0415 - optional
    except ImportError as error:  # pragma: no cover - the tests have it
        raise missing_extra("Mail", "html") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("message.html.j2").render(
        message=message,
        cid=cid.strip("<>"),
        cell=lambda loop: f"padding:5px {0 if loop.last else 12}px 5px 0;",
    )


_LAST_STEP = "it was sending"
_REFUSED = {
    smtplib.SMTPAuthenticationError: "it does not take the user and password: ",
    smtplib.SMTPSenderRefused: "it refused the sender: ",
}
_FAILED = {
    smtplib.SMTPServerDisconnected: "the connection was lost",
    ssl.SSLCertVerificationError: "its certificate cannot be verified",
    ssl.SSLError: "no TLS connection; is the port right?",
    socket.gaierror: "there is no such host",
}


class _Connection(smtplib.SMTP):
    """A conversation that another thread can end, whatever it waits for."""

    def __init__(self, server: MailServer, context: ssl.SSLContext, sending: _Sending) -> None:
        self._context = context
        self._tls_first = server.security == "tls"
        self._sending = sending
        port = server.port or PORTS[server.security]
        super().__init__(server.host, port, timeout=server.timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc] # not in the stubs
        self._sending.hold(sock)
        return self._context.wrap_socket(sock, server_hostname=host) if self._tls_first else sock


class _Sending:
    """One mail on its way, in a thread of its own.

    The system's look-up of names and the handshake of TLS know no limit by the wall; so whoever
    waits for the outcome ends the connection when the time is up.
    """

    def __init__(self, mail: EmailMessage, server: MailServer) -> None:
        self.outcome: Future[dict[str, tuple[int, bytes]]] = Future()
        self.step = "it was connecting"
        self._over = threading.Event()
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(
            target=self._run, args=[mail, server], name="capsule-mail", daemon=True
        )
        self._thread.start()

    def hold(self, sock: socket.socket) -> None:
        """Keep a second handle of a connection: TLS takes the first one away."""
        self._held.append(sock.dup())
        if self._over.is_set():
            sock.close()
            raise TimeoutError("the time is up")

    def end(self) -> None:
        """End it: at once if the mail is not through, else when the farewell is said."""
        if self.outcome.done():
            self._thread.join(_FAREWELL)
        self._over.set()
        for sock in self._held:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _run(self, mail: EmailMessage, server: MailServer) -> None:
        connection = None
        try:
            context = ssl.create_default_context()
            connection = _Connection(server, context, self)
            if server.security == "starttls":
                self.step = "it was securing the connection"
                connection.starttls(context=context)
            if server.user is not None and server.password:
                self.step = "it was logging in"
                connection.login(server.user, server.password)
            self.step = _LAST_STEP
            self.outcome.set_result(connection.send_message(mail))
        except BaseException as error:  # noqa: BLE001 - it is raised where it was waited for
            self.outcome.set_exception(error)
        if connection is not None:
            with suppress(smtplib.SMTPException, OSError):
                connection.quit()
            connection.close()


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    return ", ".join(f"{to} ({_answer(*answer)})" for to, answer in refused.items())


def _answer(code: int, words: bytes | str) -> str:
    """Quote a server's answer; made safe before it is cut, as half a password is not known."""
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return f"{code} {' '.join(safe(text).split())[:_WORDS]}".rstrip(" .")


def _words(error: Exception, step: str) -> str:
    """Say what went wrong, without the library's internals."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"refused {_refusals(error.recipients)}"
    if isinstance(error, smtplib.SMTPResponseException):
        what = next((words for kind, words in _REFUSED.items() if isinstance(error, kind)), "")
        return f"{what}{_answer(error.smtp_code, error.smtp_error)}, while {step}"
    what = next((words for kind, words in _FAILED.items() if isinstance(error, kind)), "")
    if not what and isinstance(error, smtplib.SMTPNotSupportedError):
        what = safe(error).rstrip(".")
    elif not what:
        reason = isinstance(error, OSError) and error.strerror
        what = f"the connection failed ({reason or type(error).__name__})"
    return f"{what}, while {step}"
