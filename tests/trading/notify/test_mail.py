"""Mail goes over an encrypted line or not at all, arrives whole, and what fails says who must act."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import threading

import pytest
from pydantic import SecretStr

from tests.mail_server import MailServer, certificate
from trading.domain.clock import Clock, parse_iso
from trading.domain.errors import NotifierError
from trading.notify.mail import Mail, MailAddress, in_thread
from trading.notify.message import Message

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32
CLOCK = Clock(scale=1e-6, origin_ms=parse_iso("2026-01-21T09:00:00Z"))


def mailbox(server: MailServer, *, password: str | None = None, tls: ssl.SSLContext | None = None) -> Mail:
    user = None if password is None else "lab"
    address = MailAddress("127.0.0.1", server.port, "lab@example.org", "me@example.org", user)
    secret = None if password is None else SecretStr(password)
    return Mail(address, secret, CLOCK, tls=tls or certificate()[1], timeout_s=2.0)


async def test_text_and_pictures_arrive_and_nothing_is_said_in_the_clear() -> None:
    async with MailServer(password="right").open() as server:
        text = "📊 Hourly Report - 09:00 UTC\nEquity 1,012.50\n.a line that begins with a dot\nid m-7"
        await mailbox(server, password="right").send(Message("report", text, photos=(PNG,)))
    (raw,) = server.letters
    letter = email.message_from_bytes(raw.replace(b"\r\n..", b"\r\n."), policy=email.policy.default)
    assert letter["Subject"] == "📊 Hourly Report - 09:00 UTC"
    assert (letter["From"], letter["To"]) == ("lab@example.org", "me@example.org")
    assert letter["Date"] == "Wed, 21 Jan 2026 09:00:00 +0000"
    body, picture = letter.iter_parts()
    assert body.get_content().splitlines() == text.splitlines()
    assert (picture.get_filename(), picture.get_content()) == ("picture-1.png", PNG)
    assert set(server.in_the_clear) == {"EHLO", "STARTTLS"}


async def test_the_same_message_twice_is_one_to_a_mail_program() -> None:
    async with MailServer().open() as server:
        for text in ("one", "one", "two"):
            await mailbox(server).send(Message("report", text))
    ids = [email.message_from_bytes(raw)["Message-ID"] for raw in server.letters]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("server", "password", "said", "permanent"),
    [
        (MailServer(offers_tls=False), None, "no STARTTLS; nothing is sent in the clear", False),
        (MailServer(password="right"), "wrong", "login refused", False),
        (MailServer(answers={"RCPT": "550 who?"}), None, "an address is refused", False),
        (MailServer(answers={"MAIL": "550 who?"}), None, "an address is refused", False),
        (MailServer(answers={"LETTER": "554 looks like spam"}), None, "answered 554", True),
        (MailServer(answers={"LETTER": "451 later"}), None, "answered 451", False),
        (MailServer(answers={"EHLO": "421 busy", "HELO": "421 busy"}), None, "cannot be reached", False),
    ],
)
async def test_what_a_server_refuses_says_who_must_act_and_keeps_the_password(
    server: MailServer, password: str | None, said: str, permanent: bool
) -> None:
    async with server.open():
        with pytest.raises(NotifierError, match=said) as refusal:
            await mailbox(server, password=password).send(Message("report", "x"))
    assert refusal.value.permanent is permanent
    assert "wrong" not in str(refusal.value)
    if not server.offers_tls:
        assert server.letters == []


@pytest.mark.parametrize("odd", ["\r", "\u2028", "\x85", "\x00", "\u2029"])
async def test_an_odd_character_in_the_first_line_is_a_space_in_the_subject(odd: str) -> None:
    async with MailServer().open() as server:
        await mailbox(server).send(Message("notice", f"🔔 what{odd}a venue said\nmore{odd}"))
    (raw,) = server.letters
    assert email.message_from_bytes(raw, policy=email.policy.default)["Subject"] == "🔔 what a venue said"


@pytest.mark.parametrize("host", ["smtp..gmail.com", "x" * 70 + ".org"])
async def test_a_host_that_is_no_name_is_said_and_the_message_kept(host: str) -> None:
    mail = Mail(MailAddress(host, 587, "lab@example.org", "me@example.org"), None, CLOCK)
    with pytest.raises(NotifierError, match=r"look at messages\.email_host") as refusal:
        await mail.send(Message("report", "x"))
    assert refusal.value.permanent is False


@pytest.mark.parametrize("text", ["a lone \ud800 surrogate"])
async def test_what_makes_no_letter_is_the_trouble_of_that_message(text: str) -> None:
    with pytest.raises(NotifierError, match="makes no letter") as refusal:
        await mailbox(MailServer(port=1)).send(Message("report", text))
    assert refusal.value.permanent is True


async def test_a_certificate_that_nobody_vouches_for_gets_nothing() -> None:
    async with MailServer(password="right").open() as server:
        with pytest.raises(NotifierError, match="certificate does not hold"):
            await mailbox(server, password="right", tls=ssl.create_default_context()).send(Message("report", "x"))
    assert set(server.in_the_clear) == {"EHLO", "STARTTLS"}
    assert server.letters == []


async def test_a_check_lets_itself_in_and_sends_nothing() -> None:
    async with MailServer(password="right").open() as server:
        assert await mailbox(server, password="right").check() == "127.0.0.1 takes mail for me@example.org"
        with pytest.raises(NotifierError, match="login refused"):
            await mailbox(server, password="wrong").check()
    assert server.letters == []


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    with pytest.raises(NotifierError, match="cannot be reached") as refusal:
        await mailbox(MailServer(port=1)).send(Message("report", "x"))
    assert not refusal.value.permanent


async def test_a_thread_that_hangs_keeps_nobody_waiting_once_it_is_given_up() -> None:
    let_go = threading.Event()

    def hang() -> None:
        let_go.wait(5)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await in_thread(hang)
    (hanging,) = [thread for thread in threading.enumerate() if thread.name == "mail"]
    assert hanging.daemon, "it would keep the process from ending"
    let_go.set()
    hanging.join(2)
