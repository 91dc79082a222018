"""Mail against a local SMTP server, and where there is none."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator

import pytest

from mainstem.errors import SettingsError
from mainstem.mail import Letter, Mailer, NotSent, SmtpServer, deliver, read_server
from mainstem.settings import Settings, read_settings
from smtp_sink import SmtpSink, smtp_sink

PASSWORD = "planted-mail-password-3e1f"
LETTER = Letter("ann@x.example", "Invitation to Acme", "Token inv_planted and Ümläute.\n.\nEnd\n")


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with smtp_sink() as server:
        yield server


def test_a_letter_arrives_whole_from_whom_it_should_be(sink: SmtpSink) -> None:
    deliver(read_server(f"smtp://127.0.0.1:{sink.port}"), "Mainstem <no-reply@x.example>", LETTER)
    (message,) = sink.received
    assert (message["To"], message["Subject"]) == ("ann@x.example", "Invitation to Acme")
    assert message["From"] == "Mainstem <no-reply@x.example>"
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert content.decode().replace("\r\n", "\n") == LETTER.text
    assert "MAIL FROM:<no-reply@x.example>" in " ".join(sink.commands).replace("mail FROM", "MAIL FROM")


def test_user_and_password_are_those_of_the_url_percent_decoded(sink: SmtpSink) -> None:
    deliver(read_server(f"smtp://me%40x:{PASSWORD}%2F@127.0.0.1:{sink.port}"), "a@x.example", LETTER)
    (auth,) = [line for line in sink.commands if line.startswith("AUTH")]
    assert base64.b64decode(auth.split()[2]) == f"\0me@x\0{PASSWORD}/".encode()


def test_a_refused_password_is_not_repeated(sink: SmtpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SmtpSink, "answer_to_auth", f"535 wrong: {PASSWORD}")
    with pytest.raises(NotSent, match="535") as refused:
        deliver(read_server(f"smtp://me:{PASSWORD}@127.0.0.1:{sink.port}"), "a@x.example", LETTER)
    assert PASSWORD not in str(refused.value)
    assert sink.received == []


def test_a_password_is_not_sent_to_another_machine_without_tls(sink: SmtpSink) -> None:
    server = SmtpServer("0.0.0.0", sink.port, is_tls=False, user="me", password=PASSWORD)
    with pytest.raises(NotSent, match="no TLS"):
        deliver(server, "a@x.example", LETTER)
    assert not [line for line in sink.commands if line.startswith("AUTH")]


def test_letters_go_out_in_the_background_in_order(sink: SmtpSink) -> None:
    mailer = Mailer(read_server(f"smtp://127.0.0.1:{sink.port}"), "a@x.example")
    for number in range(3):
        mailer.send(Letter("ann@x.example", f"Letter {number}", "text"))
    assert all(sink.arrived.acquire(timeout=60) for _ in range(3))
    mailer.close()
    assert [each["Subject"] for each in sink.received] == ["Letter 0", "Letter 1", "Letter 2"]


def test_a_letter_that_cannot_be_sent_is_named_in_the_log_without_its_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with SmtpSink() as closed:
        port = closed.port
    mailer = Mailer(read_server(f"smtp://me:{PASSWORD}@127.0.0.1:{port}"), "a@x.example")
    with caplog.at_level(logging.WARNING):
        mailer.send(LETTER)
        mailer.send(LETTER)
        mailer.close()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "Invitation to Acme" in caplog.text
    assert "inv_planted" not in caplog.text
    assert PASSWORD not in caplog.text


def test_a_subject_cannot_bring_headers_of_its_own(sink: SmtpSink) -> None:
    letter = Letter("ann@x.example", "Hello\r\nBcc: eve@x.example", "text")
    deliver(read_server(f"smtp://127.0.0.1:{sink.port}"), "a@x.example", letter)
    assert sink.received[0]["Bcc"] is None
    assert sink.received[0]["Subject"] == "Hello Bcc: eve@x.example"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", SmtpServer("mail.example", 587, is_tls=False)),
        ("smtps://me:pw@mail.example/", SmtpServer("mail.example", 465, is_tls=True, user="me", password="pw")),
        ("smtp://[::1]:25", SmtpServer("::1", 25, is_tls=False)),
    ],
)
def test_a_url_says_where_mail_is_handed_in(url: str, server: SmtpServer) -> None:
    assert read_server(url) == server


@pytest.mark.parametrize(
    "rest", ["", "https://{}@mail.example", "smtp://me:{}", "smtp://me:{}@h:port", "smtp://h/{}"]
)
def test_a_wrong_url_is_refused_without_repeating_it(rest: str) -> None:
    url = rest.format(PASSWORD)
    if url:
        with pytest.raises(SettingsError, match="smtp://USER:PASSWORD@HOST:PORT") as refused:
            read_settings({"mail_from": "a@x.example"}, {"MAINSTEM_SMTP_URL": url})
        assert PASSWORD not in str(refused.value)
    else:
        with pytest.raises(SettingsError, match="go together"):
            read_settings({"mail_from": "a@x.example"}, {})


def test_a_mail_server_needs_a_sender() -> None:
    with pytest.raises(SettingsError, match="go together"):
        read_settings({}, {"MAINSTEM_SMTP_URL": "smtp://mail.example"})
    both = read_settings({"mail_from": "a@x.example"}, {"MAINSTEM_SMTP_URL": "smtp://mail.example"})
    assert isinstance(both, Settings)
    assert both.smtp_url == "smtp://mail.example"
