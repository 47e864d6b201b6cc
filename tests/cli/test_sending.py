"""``capsule-report --email`` and ``--slack``: sent when the report is whole, or exit 1 with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import NO_CHARTS, invoked
from mail_server import PASSWORD, USER, mail_server, trusted
from raw_server import raw_server, says

WEBHOOK = "/services/T0001/B0002/sEcReTsEcReT"
TO = "ann@example.com"


def config(folder: Path, *lines: str) -> None:
    (folder / "capsule.toml").write_text("\n".join(lines))


def test_a_report_is_sent_when_it_is_whole(tmp_path: Path) -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with mail_server() as received, raw_server(says(ok)) as (url, asked):
        (tmp_path / "hook.txt").write_text(f"{url}{WEBHOOK}\n")
        (tmp_path / "hook.txt").chmod(0o600)
        config(
            tmp_path,
            'smtp-host = "127.0.0.1"',
            f"smtp-port = {received.port}",
            f'smtp-user = "{USER}"',
            'slack-webhook-file = "hook.txt"',
        )
        done = invoked(
            *("capsule-report", "--sample", "--no-projection", "--out", "out"),
            *("--email", TO, "--email", "bob@example.com", "--email", TO, "--slack"),
            cwd=tmp_path,
            CAPSULE_SMTP_FROM=USER,
            CAPSULE_SMTP_PASSWORD=PASSWORD,
            SSL_CERT_FILE=trusted(tmp_path),
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.endswith(f"Sent to {TO}, bob@example.com\nPosted to Slack\n")
    (mail,) = received.mails
    assert received.recipients == [[TO, "bob@example.com"]]
    page = next(part for part in mail.walk() if part.get_filename() == "report.html")
    # The mail implies the page.
    assert page.get_payload(decode=True) == (tmp_path / "out" / "report.html").read_bytes()
    assert asked[0].startswith(f"POST {WEBHOOK} ".encode())


def test_a_failed_sending_is_exit_1_with_the_report_in_place(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 500 No\r\nContent-Length: 34\r\n\r\n" + WEBHOOK.encode()
    with mail_server() as received, raw_server(says(answer)) as (url, _):
        done = invoked(
            *("capsule-report", "--sample", "--no-projection", *NO_CHARTS, "--out", "out"),
            "--verbose",
            *("--email", TO, "--slack", "--smtp-port", str(received.port)),
            cwd=tmp_path,
            CAPSULE_SMTP_HOST="127.0.0.1",
            CAPSULE_SMTP_FROM=USER,
            CAPSULE_SMTP_USER=USER,
            CAPSULE_SMTP_PASSWORD="another-p4ssword",
            CAPSULE_SLACK_WEBHOOK=url + WEBHOOK,
            SSL_CERT_FILE=trusted(tmp_path),
        )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: the report in out is whole, but was not sent to everyone: mail server 127.0.0.1: "
        "it does not take the user and password: 535 wrong password ***, while it was logging in; "
        "Slack: 500: ***\n"
    )
    assert "another-p4ssword" not in done.stdout + done.stderr
    assert (tmp_path / "out" / "report.html").is_file()
    assert received.mails == []


@pytest.mark.parametrize(
    ("typed", "environment", "words"),
    [
        (["--email", "ann"], {}, "'ann' is no mail address such as"),
        (["--email", TO], {}, "--email needs a mail server and a sender"),
        (["--smtp-host", "a.example"], {}, "--smtp-host is of no use without --email"),
        (["--slack"], {}, "--slack needs a webhook: set CAPSULE_SLACK_WEBHOOK"),
        (["--slack"], {"CAPSULE_SLACK_WEBHOOK": "http://a.example/sEcReT"}, "is no https URL"),
        (
            ["--email", TO, "--smtp-host", "a.example", "--smtp-from", TO, "--smtp-user", "ann"],
            {},
            "no password of the mail server: set CAPSULE_SMTP_PASSWORD or smtp-password-file",
        ),
        (
            ["--email", TO, "--smtp-host", "a.example", "--smtp-from", TO],
            {"CAPSULE_SMTP_SECURITY": "none"},
            "without TLS could be read on the way",
        ),
        (["--portfolio", "x", "--email", TO], {}, "--email is of no use with --portfolio"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_loaded(
    typed: list[str], environment: dict[str, str], words: str, tmp_path: Path
) -> None:
    place = [] if "--portfolio" in typed else ["--sample"]
    done = invoked("capsule-report", *place, "--out", "out", *typed, cwd=tmp_path, **environment)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert "sEcReT" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", ["smtp-password", "slack-webhook"])
def test_secrets_do_not_belong_in_the_configuration(key: str, tmp_path: Path) -> None:
    config(tmp_path, f'{key} = "sEcReT"')
    done = invoked("capsule-report", "--sample", "--no-projection", "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "does not belong in a configuration file" in done.stderr
    assert "sEcReT" not in done.stderr


def test_the_sample_account_goes_to_nobody_who_is_only_in_the_configuration(tmp_path: Path) -> None:
    config(tmp_path, f'email = ["{TO}"]', "slack = true", 'format = "none"')
    done = invoked("capsule-report", "--sample", "--no-projection", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out" / "report.html").exists()
