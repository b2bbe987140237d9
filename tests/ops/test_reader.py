"""The reader's clock and quiet hours: what waits, what never does, and which clock a time is of."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ops import reports
from ops.explain.answer import moment_of
from ops.guardian.hands import Hands
from ops.period import Period, day_ended
from ops.reader import MessageSettings, Reader
from ops.settings import read_settings
from ops.telling import delivery
from ops.telling.delivery import Delivery
from ops.telling.messages import Messenger
from tests.ops.test_reports import FULL
from trading.domain.clock import Clock, parse_iso
from trading.domain.errors import NotifierError, SettingsError
from trading.domain.events import Event, Severity
from trading.exchange.access import Access
from trading.exchange.open_venue import open_account
from trading.exchange.rate_plan import RatePlan
from trading.notify.message import Message
from trading.notify.outbox import MAIN, Outbox
from trading.storage.home import Home

NIGHT = MessageSettings(time_zone="Europe/Berlin", quiet_from="22:00", quiet_to="07:00")
NOON = MessageSettings(quiet_from="12:00", quiet_to="13:30")
REPORT = Message("report", "14:00")
ALERT = Message("alert", "🚨 data", severity=Severity.ALERT)
MONEY = replace(ALERT, is_money=True)


@pytest.mark.parametrize(
    ("settings", "at", "waits"),
    [
        (NIGHT, "2026-01-21T20:59Z", False),
        (NIGHT, "2026-01-21T21:00Z", True),  # 22:00 in winter
        (NIGHT, "2026-01-22T05:59Z", True),
        (NIGHT, "2026-01-22T06:00Z", False),
        (NIGHT, "2026-07-21T20:00Z", True),  # 22:00 in summer
        (NOON, "2026-01-21T12:00Z", True),
        (NOON, "2026-01-21T13:30Z", False),
        (NOON, "2026-01-21T00:00Z", False),
        (MessageSettings(), "2026-01-21T03:00Z", False),
    ],
)
def test_in_quiet_hours_all_waits_but_what_is_about_money(settings: MessageSettings, at: str, waits: bool) -> None:
    held = [
        settings.holds(message, parse_iso(at)) for message in (REPORT, ALERT, MONEY, replace(REPORT, kind="approval"))
    ]
    assert held == [waits, waits, False, waits]
    assert not settings.holds(replace(MONEY, severity=Severity.NOTICE), parse_iso(at))


@pytest.mark.parametrize(
    ("name", "severity", "waits"),
    [
        ("risk.halted", Severity.ALERT, False),
        ("job.ended_service", Severity.ALERT, False),
        ("job.failing", Severity.ALERT, True),
        ("strategy.expired", Severity.ALERT, False),  # what it holds is being closed
        ("strategy.expired", Severity.NOTICE, True),  # it holds nothing
        ("hedge.forced", Severity.NOTICE, False),
        ("hedge.found", Severity.NOTICE, True),
        ("stop.flat", Severity.NOTICE, False),
        ("risk.flat", Severity.NOTICE, False),
        ("carry.opened", Severity.NOTICE, True),
    ],
)
async def test_what_is_about_money_comes_at_night(home: Home, name: str, severity: Severity, waits: bool) -> None:
    outbox, chat, clock = Outbox(home.outbox), Chat(), Clock(scale=1e-6, origin_ms=parse_iso("2026-01-21T22:00Z"))
    messenger = Messenger(outbox, clock, is_synthetic=False, wake=lambda: None)
    messenger.hear(Event(clock.now_ms(), name, {"note": "x"}, severity))
    running = Delivery(outbox, {MAIN: chat}, NIGHT, clock, wake=asyncio.Event(), stop=asyncio.Event())
    await running.last_words()
    assert len(chat.texts) == (0 if waits else 1)


async def test_what_the_guardian_did_comes_at_night(home: Home) -> None:
    home.settings_file.write_text("messages: {time_zone: Europe/Berlin, quiet_from: '22:00', quiet_to: '07:00'}\n")
    settings, chat = read_settings(home.settings_file), Chat()
    clock = Clock(scale=1e-6, origin_ms=parse_iso("2026-01-21T22:00Z"))
    access = Access(clock, "http://127.0.0.1:9", False, None, None, RatePlan(home.rate), is_guardian=True)
    venue = open_account(access)
    hands = Hands(home, venue, settings, clock)
    hands.tell("🚨 Guardian: UNHEDGED, flat", key="flat 2026-01-21T22:00:00Z", severity=Severity.NOTICE)
    await venue.close()
    night = settings.messages
    outbox, wake = Outbox(home.outbox), asyncio.Event()
    await Delivery(outbox, {MAIN: chat}, night, clock, wake=wake, stop=asyncio.Event()).last_words()
    assert chat.texts == ["🚨 Guardian: UNHEDGED, flat"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("messages: {time_zone: Berlin}\n", "messages.time_zone='Berlin': .*no time zone"),
        ("messages: {time_zone: /etc/passwd}\n", "no time zone"),
        ("messages: {quiet_from: '22:00'}\n", "set both, or neither"),
        ("messages: {quiet_from: '22:00', quiet_to: '22:00'}\n", "two different times"),
        ("messages: {quiet_from: '24:00', quiet_to: '07:00'}\n", "quiet_from='24:00': .*no time of a day"),
        ("messages: {quiet_from: 22:00, quiet_to: '07:00'}\n", "quiet_from=1320: .*valid string"),
        ("messages: {email_host: mail.example.org}\n", "needs email_from and email_to"),
        ("messages: {email_host: smtp..gmail.com}\n", "email_host='smtp..gmail.com': .*no host"),
        ("messages: {email_host: 'smtp.gmail.com:587'}\n", "the port is email_port"),
        ("messages: {email_host: 'https://smtp.gmail.com'}\n", "no host"),
        ("messages: {email_to: 'me'}\n", "email_to='me': .*no mail address"),
        ('messages: {email_from: "a@b.org\\n"}\n', "no mail address"),
    ],
)
def test_what_is_no_clock_or_hour_is_one_line(home: Home, text: str, said: str) -> None:
    home.settings_file.write_text(text)
    with pytest.raises(SettingsError, match=said):
        read_settings(home.settings_file)


@pytest.mark.parametrize(
    "host", ["smtp.gmail.com", "localhost", "10.0.0.7", "::1", "post.münchen.example", "mail_1.lan"]
)
@pytest.mark.parametrize("address", ["me@example.org", "The Lab <lab@example.org>"])
def test_hosts_and_addresses_of_every_kind_are_taken(host: str, address: str) -> None:
    mine = MessageSettings(email_host=host, email_from=address, email_to=address)
    assert (mine.email_host, mine.email_to) == (host, address)


def test_times_in_reports_and_alerts_are_the_readers_and_named(home: Home) -> None:
    lines = reports.hourly_report(replace(FULL, time_zone="Europe/Berlin")).splitlines()
    assert lines[0] == "📊 Hourly Report - 10:00 CET"
    assert any(line.startswith("Last decision 09:59 CET: ") for line in lines)
    late = replace(FULL, time_zone="America/New_York", at_ms=parse_iso("2026-01-21T00:05Z"))
    title = "📅 Daily summary - 2026-01-20 UTC"  # the lab's days are UTC, whoever reads
    assert reports.summary(late, Period(day_ended(late.at_ms)), title="Daily summary").startswith(title)
    outbox, clock = Outbox(home.outbox), Clock(scale=1e-6, origin_ms=FULL.at_ms)
    messenger = Messenger(outbox, clock, is_synthetic=False, wake=lambda: None, reader=Reader("Europe/Berlin"))
    messenger.hear(Event(FULL.at_ms, "risk.halted", {"reason": "DAILY_LOSS"}, Severity.ALERT))
    assert outbox.open_alerts()["risk.halted:DAILY_LOSS"].text.startswith("🚨 risk.halted at 10:00 CET: DAILY_LOSS, ")
    assert outbox.open_alerts()["risk.halted:DAILY_LOSS"].is_money


def test_a_time_that_is_asked_for_is_by_the_readers_clock_unless_it_says_utc() -> None:
    now_ms, berlin = parse_iso("2026-01-21T13:30Z"), Reader("Europe/Berlin")
    assert moment_of("14:00", now_ms=now_ms, reader=berlin) == parse_iso("2026-01-21T13:00Z")
    assert moment_of("14:00 UTC", now_ms=now_ms, reader=berlin) == parse_iso("2026-01-20T14:00Z")
    for typed in ("2026-01-20 14:00", "2026-01-20T14:00+01:00", "2026-01-20T13:00Z", "2026-01-20 13:00 UTC"):
        assert moment_of(typed, now_ms=now_ms, reader=berlin) == parse_iso("2026-01-20T13:00Z"), typed


class Chat:
    """A channel that takes, or not, or never answers."""

    def __init__(self, how: str = "takes") -> None:
        self.how, self.texts, self.tried, self.took = how, list[str](), 0, asyncio.Semaphore(0)

    async def send(self, message: Message) -> None:
        self.tried += 1
        if self.how == "refuses":
            raise NotifierError("down")
        if self.how == "hangs":
            await asyncio.Event().wait()
        self.texts.append(message.text.partition("\n")[0])
        self.took.release()


async def test_a_channel_that_hangs_holds_up_no_other_and_not_the_end(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "LAST_WORDS_S", 0.05)
    (home.outbox / "email").mkdir()
    (home.outbox / "webhook").mkdir()
    outbox, clock, wake, stop = Outbox(home.outbox), Clock(), asyncio.Event(), asyncio.Event()
    channels = {MAIN: Chat("hangs"), "email": Chat(), "webhook": Chat("refuses")}
    running = Delivery(outbox, channels, MessageSettings(), clock, wake=wake, stop=stop)
    task = asyncio.create_task(running.run())
    for n in range(3):
        outbox.put(Message("notice", f"n{n}"), clock)
        wake.set()
        async with asyncio.timeout(2):
            await channels["email"].took.acquire()
    stop.set()
    wake.set()
    async with asyncio.timeout(2):
        await task
        await running.last_words()
    assert channels["email"].texts == ["n0", "n1", "n2"]
    assert outbox.waiting == 3
    assert channels["webhook"].tried >= 3


async def test_a_bug_in_what_delivers_ends_nothing_is_told_like_that_of_a_job_and_is_over_when_it_is(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.outbox / "email").mkdir()
    outbox, clock, heard = Outbox(home.outbox), StandingClock(parse_iso("2026-01-21T12:00Z")), list[Event]()
    channels, stop = {MAIN: Chat(), "email": Chat()}, asyncio.Event()
    running = Delivery(
        outbox, channels, MessageSettings(), clock, wake=asyncio.Event(), stop=stop, publish=heard.append
    )
    outbox.put(REPORT, clock)
    whole = Outbox.drain

    async def drain(self: Outbox, *args: object, channel: str = MAIN, **others: object) -> object:
        if channel == "email":
            raise TypeError("a bug")
        return await whole(self, *args, channel=channel, **others)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(Outbox, "drain", drain)
        for _ in range(4):
            await running.last_words()
    assert [(event.name, event.facts) for event in heard] == [
        ("job.failing", {"job": "messages email", "failures": 1, "error": "TypeError: a bug"})
    ], "it is not tried again at once"
    assert channels[MAIN].texts == ["14:00"]
    clock.passed_s += 16
    await running.last_words()
    assert [event.name for event in heard] == ["job.failing", "job.recovered"]
    assert channels["email"].texts == ["14:00"]


async def test_what_waited_for_the_end_of_the_quiet_hours_comes_then(home: Home) -> None:
    outbox, chat, stop = Outbox(home.outbox), Chat(), asyncio.Event()
    night = Clock(scale=1e-6, origin_ms=parse_iso("2026-01-21T22:30Z"))
    outbox.put(Message("report", "the report"), night)
    outbox.put(Message("alert", "🚨 money", dedup_key="risk.x", severity=Severity.ALERT, is_money=True), night)
    await Delivery(outbox, {MAIN: chat}, NIGHT, night, wake=asyncio.Event(), stop=stop).last_words()
    assert chat.texts == ["🚨 money"]
    morning = Clock(scale=1e-6, origin_ms=parse_iso("2026-01-22T06:01Z"))
    outbox.resolve("risk.x")
    await Delivery(outbox, {MAIN: chat}, NIGHT, morning, wake=asyncio.Event(), stop=stop).last_words()
    assert chat.texts == ["🚨 money", "the report"]


async def test_an_alert_about_money_is_told_again_in_quiet_hours_whatever_else_waits_for_the_morning(
    home: Home,
) -> None:
    outbox, chat, stop = Outbox(home.outbox), Chat(), asyncio.Event()
    begin_ms = parse_iso("2026-01-21T22:30Z")

    async def drain_at(minutes: float) -> None:
        clock = Clock(scale=1e-6, origin_ms=begin_ms + int(minutes * 60_000))
        await Delivery(outbox, {MAIN: chat}, NIGHT, clock, wake=asyncio.Event(), stop=stop).last_words()

    clock = Clock(scale=1e-6, origin_ms=begin_ms)
    outbox.put(replace(MONEY, text="🚨 money", dedup_key="risk.x"), clock)
    outbox.put(replace(ALERT, dedup_key="data.x"), clock)
    outbox.put(REPORT, clock)
    for minutes in (0, 6, 7, 22, 100):
        await drain_at(minutes)
    assert chat.texts == ["🚨 money"] * 4  # at once, after 5 minutes, after 15 more, after an hour more
    assert outbox.late(lambda one: NIGHT.holds(one, begin_ms)) == 0
    await drain_at(480)  # 07:30 in Berlin: what waited, and the alert that is due again once nothing waits any more
    assert chat.texts[4:] == ["🚨 data", "14:00"]
    await drain_at(481)
    assert sorted(chat.texts[6:]) == ["🚨 data", "🚨 money"]


async def test_a_channel_that_takes_nothing_for_hours_is_told_by_the_others_and_when_it_takes_again_no_more(
    home: Home,
) -> None:
    (home.outbox / "email").mkdir()
    outbox, stop = Outbox(home.outbox), asyncio.Event()
    channels = {MAIN: Chat(), "email": Chat("refuses")}
    clock = Clock(scale=1e-6, origin_ms=parse_iso("2026-01-21T12:00Z"))
    delivery = Delivery(outbox, channels, MessageSettings(), clock, wake=asyncio.Event(), stop=stop)
    outbox.put(REPORT, clock)
    await delivery.last_words()
    clock.follow(Clock(scale=1e-6, origin_ms=parse_iso("2026-01-21T19:00Z")).timeline)  # type: ignore[arg-type]
    await delivery.last_words()
    await delivery.last_words()
    assert channels[MAIN].texts[1:] == [
        "🚨 messages.stuck: email has taken no message for 7 h: down. What waits is kept. Do: python "
        "send_test_notification.py"
    ]
    channels["email"].how = "takes"
    await delivery.last_words()
    assert outbox.open_alerts() == {}


def test_whether_there_is_anything_to_do_is_known_without_a_channel(home: Home) -> None:
    outbox, begin_ms = Outbox(home.outbox), parse_iso("2026-01-21T22:30Z")
    clock = Clock(scale=1e-6, origin_ms=begin_ms)
    assert not outbox.has_work(MAIN, clock, lambda _: False)
    outbox.put(REPORT, clock)
    assert outbox.has_work(MAIN, clock, lambda _: False)
    assert not outbox.has_work(MAIN, clock, lambda _: True)
    (home.outbox / "000000000001-m-1.json").unlink()
    outbox.put(replace(MONEY, dedup_key="risk.x"), clock)
    (home.outbox / "000000000001-m-2.json").unlink()  # it was delivered
    assert not outbox.has_work(MAIN, clock, lambda _: False)
    later = Clock(scale=1e-6, origin_ms=begin_ms + 301_000)
    assert outbox.has_work(MAIN, later, lambda _: False)
    assert not outbox.has_work("email", later, lambda _: False)


async def test_what_is_told_again_together_or_late_has_the_readers_clock_too(home: Home) -> None:
    begin_ms = parse_iso("2026-01-21T12:00Z")
    outbox, chat = Outbox(home.outbox, local=Reader("Europe/Berlin").local), Whole()
    clock = StandingClock(begin_ms)
    outbox.put(replace(ALERT, dedup_key="data.x"), clock)
    await outbox.drain(chat, clock)
    clock.lab_ms = begin_ms + 301_000
    await outbox.drain(chat, clock)
    assert chat.texts[1].splitlines()[1] == "(again: since 2026-01-21 13:00 CET, raised 1×)"
    for number in range(6):
        outbox.put(replace(ALERT, text=f"🚨 {number}", dedup_key=f"data.{number}"), clock)
    await outbox.drain(chat, clock)
    clock.lab_ms += 3_600_000
    chat.texts.clear()
    await outbox.drain(chat, clock)
    assert "1× since 13:05 CET" in chat.texts[-1]
    for _ in range(8):
        outbox.put(replace(REPORT, kind="notice"), clock)
    clock.lab_ms += 3_600_000
    clock.real_ms += 3_600_001
    chat.texts.clear()
    await outbox.drain(chat, clock)
    (late,) = [text for text in chat.texts if text.startswith("📬")]
    assert late.splitlines()[:2] == [
        "📬 Not delivered from 2026-01-21 14:05 to 2026-01-21 14:05 CET, now in one: 7 notices",
        "21 14:05 14:00",
    ]


class Whole:
    """A channel that keeps whole texts."""

    def __init__(self) -> None:
        self.texts = list[str]()

    async def send(self, message: Message) -> None:
        self.texts.append(message.text)


class StandingClock(Clock):
    """Set by hand, the system's too."""

    def __init__(self, at_ms: int) -> None:
        super().__init__()
        self.lab_ms = self.real_ms = at_ms
        self.passed_s = 0.0

    def real_s(self) -> float:
        return self.passed_s

    def now_ms(self) -> int:
        return self.lab_ms

    def system_ms(self) -> int:
        return self.real_ms


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("America/Sao_Paulo", "06:00 UTC-3"),
        ("Asia/Kathmandu", "14:45 UTC+5:45"),
        ("Europe/Berlin", "10:00 CET"),
        ("Asia/Kolkata", "14:30 IST"),
    ],
)
def test_a_zone_without_letters_is_told_by_its_distance_from_utc(zone: str, told: str) -> None:
    assert Reader(zone).named(parse_iso("2026-01-21T09:00:00Z")) == told
