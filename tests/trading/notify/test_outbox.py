"""Nothing is lost, nothing is sent twice after a confirmed send, order is kept, alerts insist without shouting."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from sandbox.telegram import TOKEN, TelegramDesk
from tests.loopback import SetClock, serving
from trading.domain.clock import Clock, Timeline
from trading.domain.errors import NotifierError
from trading.domain.events import Severity
from trading.notify.message import Message
from trading.notify.outbox import Drained, Outbox
from trading.notify.telegram import Telegram

START_MS = 1_700_000_000_000


def without_id(text: str) -> str:
    """A text without the short id under it, which every message has."""
    said, mark, number = text.rpartition("\nid m-")
    assert mark == "" or number.isdecimal()
    return said if mark else text


@dataclass
class Scripted:
    """A carrier that fails as told: one entry a send, then all is well."""

    failures: list[NotifierError | None] = field(default_factory=list)
    got: list[str] = field(default_factory=list)

    async def send(self, message: Message) -> None:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        self.got.append(without_id(message.text))


@pytest.fixture
def clock() -> Clock:
    return Clock(scale=1.0, origin_ms=START_MS)


def advance(clock: Clock, lab_s: float) -> None:
    clock.follow(Timeline(clock.real_s(), clock.now_ms() + lab_s * 1000, 1.0))


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


async def test_messages_arrive_in_order_and_the_box_is_empty(outbox, clock):
    for n in range(12):
        assert outbox.put(Message("report", f"m{n}"), clock)
    carrier = Scripted()
    assert await outbox.drain(carrier, clock) == Drained(sent=12)
    assert carrier.got == [f"m{n}" for n in range(12)]
    assert outbox.waiting == 0


async def test_what_was_queued_survives_a_restart_with_its_photo(outbox, clock, tmp_path):
    outbox.put(Message("report", "chart", photos=(b"\x00png",), is_html=True), clock)
    seen: list[Message] = []

    class Keep:
        async def send(self, message: Message) -> None:
            seen.append(message)

    await Outbox(tmp_path / "outbox").drain(Keep(), clock)
    assert seen == [Message("report", "chart\nid m-1", photos=(b"\x00png",), is_html=True)]


async def test_what_an_older_lab_queued_with_one_photo_or_none_is_still_sent(outbox, clock, tmp_path):
    old = {"schema": 1, "kind": "report", "text": "t", "dedup_key": "", "severity": "notice", "is_html": False}
    for number, photo in ((1, "AHBuZw=="), (2, None)):
        path = tmp_path / "outbox" / f"{number:012d}.json"
        path.write_text(json.dumps({**old, "photo": photo, "queued_at": "2026-01-21T09:00:00Z"}))
    seen: list[Message] = []

    class Keep:
        async def send(self, message: Message) -> None:
            seen.append(message)

    await outbox.drain(Keep(), clock)
    assert [message.photos for message in seen] == [(b"\x00png",), ()]


async def test_a_failure_stops_the_drain_and_loses_nothing(outbox, clock):
    for n in range(3):
        outbox.put(Message("report", f"m{n}"), clock)
    carrier = Scripted([None, NotifierError("line is down")])
    assert await outbox.drain(carrier, clock) == Drained(sent=1, waiting=2, reason="line is down")
    await outbox.drain(carrier, clock)
    assert carrier.got == ["m0", "m1", "m2"]


async def test_after_a_429_nothing_is_sent_until_the_time_has_passed(outbox, clock):
    outbox.put(Message("report", "m"), clock)
    carrier = Scripted([NotifierError("slow down", retry_after_s=0.2)])
    assert (await outbox.drain(carrier, clock)).retry_after_s == 0.2
    waiting = await outbox.drain(carrier, clock)
    assert (waiting.sent, waiting.waiting, waiting.reason) == (0, 1, "told to wait")
    await clock.sleep_s(0.21)
    assert (await outbox.drain(carrier, clock)).sent == 1


async def test_what_can_never_be_delivered_is_set_aside_with_its_reason(outbox, clock, tmp_path):
    outbox.put(Message("report", "bad"), clock)
    outbox.put(Message("report", "good"), clock)
    carrier = Scripted([NotifierError("refused for good", permanent=True)])
    assert await outbox.drain(carrier, clock) == Drained(sent=1, refused=1)
    (kept,) = (tmp_path / "outbox" / "refused").iterdir()
    record = json.loads(kept.read_text())
    assert (record["text"], record["reason"]) == ("bad\nid m-1", "refused for good")
    outbox.put(Message("report", "next"), clock)  # its number must not collide with the one set aside
    await outbox.drain(carrier, clock)
    assert carrier.got == ["good", "next"]
    assert kept.exists()


@pytest.mark.parametrize("content", ["{", '{"schema": 1, "kind": "report"}', '{"schema": 9}'])
async def test_an_unreadable_message_is_set_aside_and_the_rest_goes_out(outbox, clock, tmp_path, content):
    outbox.put(Message("report", "torn"), clock)
    outbox.put(Message("report", "whole"), clock)
    first = tmp_path / "outbox" / "000000000001.json"
    first.write_text(content)
    carrier = Scripted()
    assert (await outbox.drain(carrier, clock)).refused == 1
    assert carrier.got == ["whole"]
    assert first.with_name(first.name + ".bad-1").exists()


async def test_an_unreadable_ledger_is_set_aside_and_alerts_go_on(outbox, clock, tmp_path):
    (tmp_path / "outbox" / "alerts.json").write_text('{"schema": 1, "alerts": 7}')
    assert outbox.put(Message("alert", "🚨 x", dedup_key="x", severity=Severity.ALERT), clock)
    assert list(outbox.open_alerts()) == ["x"]


async def test_a_message_with_a_key_is_told_once_even_after_it_was_sent(outbox, clock, tmp_path):
    hourly = Message("report", "14:00", dedup_key="report-14")
    assert outbox.put(hourly, clock)
    await outbox.drain(Scripted(), clock)
    assert not Outbox(tmp_path / "outbox").put(hourly, clock)
    assert outbox.waiting == 0


def alert(text: str = "🚨 data is stale") -> Message:
    return Message("alert", text, dedup_key="data.stale", severity=Severity.ALERT)


async def test_an_alert_is_told_once_then_with_growing_gaps_until_resolved(outbox, clock):
    carrier = Scripted()
    told_at_s: list[int] = []
    for minute in range(0, 180, 5):
        outbox.put(alert(), clock)
        if (await outbox.drain(carrier, clock)).sent:
            told_at_s.append(minute * 60)
        advance(clock, 300)
    assert told_at_s == [0, 300, 1200, 4800]
    assert "raised" in carrier.got[-1]
    assert "since 2023-11-14T22:13:20Z" in carrier.got[-1]
    assert outbox.resolve("data.stale") is True
    assert outbox.resolve("data.stale") is False
    advance(clock, 10 * 86_400)
    assert await outbox.drain(carrier, clock) == Drained()
    assert outbox.put(alert(), clock)  # a new occurrence is a new alert


async def test_an_open_alert_insists_though_nobody_raises_it_again(outbox, clock):
    carrier = Scripted()
    outbox.put(alert(), clock)
    await outbox.drain(carrier, clock)
    advance(clock, 301)
    await outbox.drain(carrier, clock)
    assert len(carrier.got) == 2


async def test_a_day_without_telegram_ends_in_no_flood_of_alerts(outbox, clock):
    carrier = Scripted([NotifierError("down")] * 100)
    for _ in range(100):
        outbox.put(alert(), clock)
        await outbox.drain(carrier, clock)
        advance(clock, 900)
    assert outbox.waiting == 1


async def test_two_drains_at_once_send_nothing_twice(outbox, clock, tmp_path):
    outbox.put(Message("report", "m"), clock)
    other = Outbox(tmp_path / "outbox")

    class Nosy(Scripted):
        async def send(self, message: Message) -> None:
            inner = await other.drain(Scripted(), clock)
            assert inner.sent == 0
            assert "already runs" in inner.reason
            await super().send(message)

    carrier = Nosy()
    await outbox.drain(carrier, clock)
    assert carrier.got == ["m"]


async def test_a_message_that_cannot_be_removed_is_not_sent_again(outbox, clock, tmp_path, monkeypatch):
    outbox.put(Message("report", "m"), clock)
    carrier = Scripted()

    def read_only(self: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", read_only)
        assert "cannot be removed" in (await outbox.drain(carrier, clock)).reason
    await outbox.drain(carrier, clock)
    assert carrier.got == ["m"]
    assert outbox.waiting == 0


async def test_a_long_message_interrupted_in_the_middle_is_not_begun_again(outbox, clock):
    outbox.put(Message("report", "\n".join(["x" * 4000, "y" * 4000, "z" * 4000])), clock)
    carrier = Scripted([None, NotifierError("down")])
    await outbox.drain(carrier, clock)
    await outbox.drain(carrier, clock)
    assert [text[0] for text in carrier.got] == ["x", "y", "z"]


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.one_of(st.just("put"), st.sampled_from([None, "down", "wait", "never"]).map(lambda how: ("drain", how)))
    )
)
async def test_whatever_fails_each_message_is_delivered_once_in_order_or_set_aside(steps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outbox")
    clock, carrier, put = Clock(scale=1.0, origin_ms=START_MS), Scripted(), 0
    failures = {
        "down": NotifierError("down"),
        "wait": NotifierError("wait", retry_after_s=0.0),
        "never": NotifierError("never", permanent=True),
    }
    for step in steps:
        outbox = Outbox(folder)  # a restart at every step
        if step == "put":
            outbox.put(Message("report", f"{put:03d}"), clock)
            put += 1
        else:
            carrier.failures = [failures[step[1]]] if step[1] else []
            await outbox.drain(carrier, clock)
    carrier.failures = []
    await Outbox(folder).drain(carrier, clock)
    aside = [without_id(json.loads(path.read_text())["text"]) for path in (folder / "refused").iterdir()]
    assert sorted(carrier.got + aside) == [f"{n:03d}" for n in range(put)]
    assert carrier.got == sorted(carrier.got)


async def test_the_outbox_drains_through_the_real_wire(outbox, clock):
    desk = TelegramDesk(SetClock(), messages_per_s=5)
    for n in range(8):
        outbox.put(Message("report", f"m{n}"), clock)
    async with serving(desk) as url, Telegram(SecretStr(TOKEN), "42", base_url=url) as bot:
        first = await outbox.drain(bot, clock)
        assert (first.sent, first.waiting, first.retry_after_s) == (5, 3, 1.0)
        await clock.sleep_s(1.05)
        await outbox.drain(bot, clock)
    assert [m.text for m in desk.taken] == [f"m{n}\nid m-{n + 1}" for n in range(8)]


async def test_every_message_has_an_id_that_counts_up_and_an_alert_keeps_its_own_when_it_comes_again(outbox, clock):
    texts: list[str] = []

    class Keep:
        async def send(self, message: Message) -> None:
            texts.append(message.text)

    outbox.put(alert(), clock)
    outbox.put(Message("report", "14:00"), clock)
    outbox.put(alert(), clock)  # open already: it is counted, and takes no id
    outbox.put(Message("report", "15:00"), clock)
    await outbox.drain(Keep(), clock)
    advance(clock, 301)
    await outbox.drain(Keep(), clock)
    assert [text.rpartition("\n")[2] for text in texts] == ["id m-1", "id m-2", "id m-3", "id m-1"]


async def test_a_dead_channel_holds_up_no_other(clock, tmp_path):
    outbox = Outbox(tmp_path / "outbox", channels=["webhook"])
    dead, alive = Scripted([NotifierError("down")] * 9), Scripted()
    for n in range(3):
        outbox.put(Message("report", f"m{n}"), clock)
        await outbox.drain(dead, clock)
        await outbox.drain(alive, clock, channel="webhook")
    assert alive.got == ["m0", "m1", "m2"]
    assert outbox.waiting == 3


async def test_an_alert_is_repeated_where_nothing_waits_and_not_piled_up_where_a_channel_is_dead(clock, tmp_path):
    outbox = Outbox(tmp_path / "outbox", channels=["webhook"])
    dead, alive = Scripted([NotifierError("down")] * 99), Scripted()
    outbox.put(alert(), clock)
    for _ in range(4):
        await outbox.drain(dead, clock)
        await outbox.drain(alive, clock, channel="webhook")
        advance(clock, 3601)
    assert (len(alive.got), outbox.waiting) == (4, 1)
