"""Mail reaches a real server over TLS, or an error says why not, in time and without a secret."""

from __future__ import annotations

import base64
import socket
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from mail_server import PASSWORD, USER, Received, mail_server, trusted
from raw_server import raw_server, says, trickles

from capsule_analytics.deliver import MailServer, Message, Picture, Table, check_address, send_mail
from capsule_analytics.deliver._mail import _mail
from capsule_analytics.errors import ArgumentError, DeliveryError

TO = "ann@example.com"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
MESSAGE = Message(
    "Sales forecast, Müller & Söhne: £1.2M expected",
    ("£1,200,000 expected in October 2026.",),
    Table("By currency", ("Currency", "Won"), (("GBP", "1,200,000"),), frozenset({"Won"})),
    needs=Table(
        "Deals that need someone",
        ("Deal", "Why"),
        (("<script>alert(1)</script>", "9 days overdue"), ("Müller", "stale")),
        links=("https://acme.capsulecrm.com/opportunity/7", ""),
    ),
    notes=("Read from Capsule on 2026-10-15.",),
    pictures=(Picture("forecast.png", "Won & open", PIXEL), Picture("changes.png", "", PIXEL)),
    page=b"<!doctype html><title>The page \xc3\xa4</title>",
)


@pytest.fixture(autouse=True)
def _trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", trusted(tmp_path))


def at(received: Received, **more: Any) -> MailServer:
    asked = {"port": received.port, "user": USER, "password": PASSWORD, "timeout": 10.0}
    return MailServer("127.0.0.1", USER, **(asked | more))


def failure(server: MailServer, *to: str) -> str:
    """Return what an error says, with all that is printed of where it came from."""
    with pytest.raises(DeliveryError) as caught:
        send_mail(MESSAGE, to or (TO,), server)
    shown = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in shown
    assert base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode() not in shown
    return str(caught.value)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_arrives_whole(security: Any) -> None:
    with mail_server(security=security, login=security == "starttls") as received:
        user = {} if security == "starttls" else {"user": None, "password": ""}
        send_mail(MESSAGE, [TO, "bob@example.com"], at(received, security=security, **user))
    (mail,) = received.mails
    assert received.recipients == [[TO, "bob@example.com"]]
    assert mail["Subject"] == MESSAGE.subject
    assert (mail["From"], mail["To"]) == (USER, f"{TO}, bob@example.com")
    assert mail["Message-ID"].endswith("@example.com>")
    assert socket.gethostname() not in mail["Message-ID"]
    text = mail.get_body(["plain"]).get_content()
    assert "£1,200,000 expected in October 2026." in text
    assert "GBP        1,200,000\r\n" in text
    html = mail.get_body(["html"]).get_content()
    assert '<a href="https://acme.capsulecrm.com/opportunity/7">&lt;script&gt;' in html
    parts = {part.get_filename(): part for part in mail.walk() if part.get_filename()}
    assert list(parts) == ["forecast.png", "changes.png", "report.html"]
    assert (
        f'src="cid:{parts["forecast.png"]["Content-ID"].strip("<>")}" alt="Won &amp; open"' in html
    )
    assert parts["forecast.png"].get_content_disposition() == "inline"
    assert parts["changes.png"].get_content() == PIXEL
    assert parts["report.html"].get_payload(decode=True) == MESSAGE.page


@pytest.mark.parametrize(
    "subject",
    [
        "Sales forecast, Tarn & Reed Consulting Ltd, 15 Oct 2026: £321K expected in October 2026",
        f"Sales forecast, {'x' * 60}, 15 Oct 2026: CHF\N{NO-BREAK SPACE}321K expected",
        f"Sales forecast, {'日本語の会社' * 8}, שלום, 15 Oct 2026: £321K expected in October 2026",
        f"Sales forecast, {'x' * 60}, 15 Oct 2026: 321K (no currency) expected in October 2026",
    ],
)
def test_a_subject_arrives_to_the_letter_in_lines_that_every_server_takes(subject: str) -> None:
    mail = _mail(replace(MESSAGE, subject=subject), [TO], USER)
    raw = mail.as_bytes()
    assert message_from_bytes(raw, policy=default)["Subject"] == subject
    unfolded = message_from_bytes(raw)["Subject"].replace("\r\n", "")
    assert str(make_header(decode_header(unfolded))) == subject
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 78


def test_the_html_loads_nothing_and_forces_no_colour() -> None:
    with mail_server() as received:
        send_mail(MESSAGE, [TO], at(received))
    html = received.mails[0].get_body(["html"]).get_content()
    assert "http" not in html.replace("https://acme.capsulecrm.com/opportunity/7", "")
    assert "<style" not in html
    assert "<script" not in html
    assert ";color:" not in html
    assert html.count("background-color") == 1  # under the picture, which is drawn for white


def test_a_wrong_password_is_told_and_not_shown() -> None:
    with mail_server() as received:
        words = failure(at(received, password=f"{PASSWORD}-but-wrong"))
    assert words == (
        "mail server 127.0.0.1: it does not take the user and password: 535 wrong password ***, "
        "while it was logging in"
    )
    assert received.mails == []


def test_a_password_is_in_no_repr_and_crosses_no_network_in_the_clear() -> None:
    server = MailServer("smtp.example.com", USER, user=USER, password=PASSWORD)
    assert PASSWORD not in repr(server)
    with pytest.raises(ArgumentError, match="without TLS could be read on the way"):
        replace(server, security="none")
    with mail_server(security="none", login=False) as received:
        words = failure(at(received))
    assert "STARTTLS extension not supported by server, while it was securing" in words
    assert received.logins == []


def test_without_tls_only_on_this_machine() -> None:
    with mail_server(security="none", login=False) as received:
        send_mail(MESSAGE, [TO], at(received, security="none", user=None, password=""))
    assert len(received.mails) == 1


def test_a_refused_recipient_is_named_and_the_others_get_it() -> None:
    with mail_server(refuses=(TO,)) as received:
        words = failure(at(received), TO, "bob@example.com")
        assert words == (
            f"mail server 127.0.0.1: refused {TO} (550 nobody of that name here); the others got it"
        )
        assert received.recipients == [["bob@example.com"]]
        assert failure(at(received)) == (
            f"mail server 127.0.0.1: refused {TO} (550 nobody of that name here)"
        )
    assert len(received.mails) == 1


def test_a_certificate_of_another_host_is_not_taken() -> None:
    with mail_server(names=("mail.example.com",)) as received:
        words = failure(at(received))
    assert "its certificate cannot be verified, while it was securing" in words
    assert received.logins == []


def test_tls_at_a_port_without_it_is_told() -> None:
    with mail_server() as received:
        assert "no TLS connection; is the port right?" in failure(at(received, security="tls"))


def test_an_unreachable_server_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert "Connection refused" in failure(at(Received(port)))


@pytest.mark.parametrize(
    "first", [b"", b"220-still", b"220 hello\r\n", b"220 hello\r\n250-mail\r\n"]
)
def test_a_server_that_hangs_or_trickles_is_left_in_time(first: bytes) -> None:
    over = threading.Event()
    say = trickles(first, b"" if first.endswith(b"\n") else b"-", 0.02)

    def serve() -> None:
        conn, _ = listening.accept()  # a mail server speaks first
        with conn, suppress(OSError):
            say(conn, over)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        began = time.monotonic()
        words = failure(at(Received(listening.getsockname()[1]), timeout=0.3))
        assert time.monotonic() - began < 3
        assert "no answer within 0.3 s while it was" in words
        over.set()
        thread.join(3)
        assert not thread.is_alive()


def test_a_server_that_hangs_in_the_handshake_is_left_in_time() -> None:
    with raw_server(trickles(b"", b"")) as (url, _):
        server = at(Received(int(url.rpartition(":")[2])), security="tls", timeout=0.3)
        assert "no answer within 0.3 s while it was connecting" in failure(server)


def test_a_server_that_is_none_is_told() -> None:
    with raw_server(says(b"")) as (url, _):
        server = at(Received(int(url.rpartition(":")[2])), security="tls")
        assert "mail server 127.0.0.1: " in failure(server)


@pytest.mark.parametrize(
    "address",
    ["", "ann", "ann@", "a b@c.d", "a@b\r\nBcc: eve@c.d", "<a@b.c>", "a@b.c,d@e.f", "\x00@a"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ArgumentError, match="is no mail address"):
        check_address(address)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"host": ""}, "no name of a mail server"),
        ({"host": "smtp://a"}, "no name of a mail server"),
        ({"sender": "x"}, "no mail address"),
        ({"security": "ssl"}, "starttls, tls or none"),
        ({"user": "ann"}, "both a user and a password"),
        ({"password": "secret"}, "both a user and a password"),
        ({"user": "ann", "password": "pässword"}, "characters it cannot take"),
    ],
)
def test_a_server_is_checked_before_it_is_asked(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words) as caught:
        MailServer(**({"host": "smtp.example.com", "sender": USER} | wrong))
    assert "pässword" not in str(caught.value)
