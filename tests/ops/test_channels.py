"""Webhook and e-mail, set up by file: half of one is refused, the doctor and the test notification know them."""

from __future__ import annotations

import pytest

from ops import send_test_notification
from ops.doctor import checks as doctor
from ops.environment import read_environment
from ops.settings import read_settings
from ops.telling import channels as channels_module
from ops.telling.channels import open_channels, set_up_channels
from tests.loopback import serving
from tests.mail_server import MailServer, certificate
from tests.trading.notify.test_webhook import SECRET, Receiver
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError
from trading.notify.mail import Mail
from trading.notify.message import Message
from trading.notify.outbox import Outbox
from trading.storage.home import Home


@pytest.fixture
def believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback server's certificate is one of the system's."""

    class Believing(Mail):
        def __init__(self, *words: object, **named: object) -> None:
            super().__init__(*words, tls=certificate()[1], **named)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(channels_module, "Mail", Believing)


def furnish(home: Home, *, hook: str = "", mail: MailServer | None = None) -> None:
    lines = [f"WEBHOOK_URL={hook}/hook/secret-path", f"WEBHOOK_SECRET={SECRET}"] if hook else []
    if mail is not None:
        lines.append("EMAIL_PASSWORD=right")
        home.settings_file.write_text(
            f"messages: {{email_host: 127.0.0.1, email_port: {mail.port}, email_user: lab, "
            "email_from: lab@example.org, email_to: me@example.org}\n"
        )
    home.env_file.write_text("\n".join(lines) + "\n")
    home.env_file.chmod(0o600)


@pytest.mark.parametrize(
    ("env", "settings", "said"),
    [
        ("WEBHOOK_URL=https://example.org/x\n", "", "come in pairs"),
        ("WEBHOOK_URL=http://example.org/canary\nWEBHOOK_SECRET=s\n", "", "in the clear; give an https"),
        (
            "",
            "messages: {email_host: h, email_user: lab, email_from: a@b.c, email_to: d@e.f}\n",
            "needs EMAIL_PASSWORD",
        ),
    ],
)
def test_half_a_channel_is_refused_in_one_line(home: Home, env: str, settings: str, said: str) -> None:
    home.env_file.write_text(env)
    home.env_file.chmod(0o600)
    home.settings_file.write_text(settings)
    with pytest.raises(SettingsError, match=said) as refusal:
        set_up_channels(home, read_environment(home, process={}), read_settings(home.settings_file))
    assert "canary" not in str(refusal.value)


@pytest.mark.usefixtures("believed")
async def test_every_message_reaches_both_each_from_a_queue_of_its_own(home: Home) -> None:
    receiver, clock = Receiver(), Clock()
    async with serving(receiver) as url, MailServer(password="right").open() as server:
        furnish(home, hook=url, mail=server)
        environment, settings = read_environment(home, process={}), read_settings(home.settings_file)
        outbox = Outbox(home.outbox)  # of the guardian, which was there before
        set_up_channels(home, environment, settings)
        outbox.put(Message("report", "the report"), clock)
        async with open_channels(environment, settings, clock) as channels:
            assert set(channels) == {"webhook", "email"}
            drained = [await outbox.drain(one, clock, channel=name) for name, one in channels.items()]
    assert [one.sent for one in drained] == [1, 1]
    assert [got["id"] for got in receiver.got] == ["m-1"]
    assert b"the report" in server.letters[0]
    assert {"right", SECRET, f"{url}/hook/secret-path"} <= set(environment.secret_values()), "the log leaves them out"


@pytest.mark.usefixtures("believed")
async def test_the_doctor_knows_both_and_sends_nothing(home: Home) -> None:
    receiver = Receiver()
    async with serving(receiver) as url, MailServer(password="right").open() as server:
        furnish(home, hook=url, mail=server)
        environment, settings = read_environment(home, process={}), read_settings(home.settings_file)
        checks = await doctor.channel_checks(environment, settings, Clock())
        server.password = "another"
        (_, refused) = await doctor.channel_checks(environment, settings, Clock())
    assert [(check.name, check.health) for check in checks] == [
        ("webhook", doctor.Health.GOOD),
        ("email", doctor.Health.GOOD),
    ]
    assert refused.health is doctor.Health.BAD
    assert "login refused" in refused.found
    assert (receiver.got, server.letters) == ([], [])


async def test_a_home_without_them_has_no_line_of_them(home: Home) -> None:
    environment, settings = read_environment(home, process={}), read_settings(home.settings_file)
    assert await doctor.channel_checks(environment, settings, Clock()) == []
    async with open_channels(environment, settings, Clock()) as channels:
        assert channels == {}


async def test_the_test_notification_tries_each_and_one_that_refuses_fails_it(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver = Receiver([(204, {}), (401, {})])
    async with serving(receiver) as url:
        furnish(home, hook=url)
        environment, settings = read_environment(home, process={}), read_settings(home.settings_file)
        codes = [await send_test_notification._send(environment, settings) for _ in range(2)]
    assert codes == [0, 1]
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "webhook took it"
    assert "webhook: test: answered 401" in said.err
