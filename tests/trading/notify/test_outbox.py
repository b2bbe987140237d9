"""Nothing is lost, nothing is sent twice after a confirmed send, order is kept, alerts insist without shouting."""

from __future__ import annotations

import json
import os
import re
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
from trading.notify import ledger as ledgers
from trading.notify import outbox as boxes
from trading.notify.catch_up import SUMMARIES
from trading.notify.message import Message
from trading.notify.outbox import Outbox, set_channels
from trading.notify.queue import Drained
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
    assert [text.partition(":")[0] for text in carrier.got] == ["good", "🚨 messages.refused", "next"]
    assert f"1 message refused for good, the newest {kept}. " in carrier.got[1]
    await outbox.drain(carrier, clock)
    assert "messages.refused" in outbox.open_alerts()
    kept.unlink()
    await outbox.drain(carrier, clock)
    assert outbox.open_alerts() == {}, "somebody has looked, and taken it out"


async def test_where_all_are_refused_no_message_is_at_fault_and_none_is_set_aside(outbox, clock, tmp_path):
    for n in range(31):
        outbox.put(Message("report", f"m{n}"), clock)
    carrier = Scripted([NotifierError("554 no more today", permanent=True)] * 12)
    for _ in range(2):
        assert await outbox.drain(carrier, clock) == Drained(waiting=31, reason="554 no more today")
    await outbox.drain(carrier, clock)
    assert carrier.got == [f"m{n}" for n in range(31)]
    assert list((tmp_path / "outbox" / "refused").iterdir()) == []


async def test_a_bug_in_a_channel_is_the_trouble_of_one_message(outbox, clock):
    class Odd(Scripted):
        async def send(self, message: Message) -> None:
            if "\u2028" in message.text:
                raise ValueError("an odd character, and a secret")
            await super().send(message)

    for text in ("one", "odd \u2028", "two"):
        outbox.put(Message("report", text), clock)
    carrier = Odd()
    assert await outbox.drain(carrier, clock) == Drained(sent=2, refused=1)
    await outbox.drain(carrier, clock)
    assert carrier.got[:2] == ["one", "two"]
    assert "messages.refused" in carrier.got[2]


class Late(Scripted):
    """Takes each message; its answers come too late, until told otherwise."""

    is_late = True

    async def send(self, message: Message) -> None:
        self.got.append(without_id(message.text))
        if self.is_late:
            raise NotifierError("no answer in time", may_have_arrived=True)


async def test_what_was_sent_without_an_answer_is_sent_again_after_growing_gaps_and_holds_up_nobody(tmp_path):
    clock, carrier = Slept(), Late()
    outbox = Outbox(tmp_path / "outbox")
    outbox.put(Message("report", "first"), clock)
    at_s = list[int]()
    for _ in range(24 * 60 * 4):  # a day of tries, every 15 s
        before = len(carrier.got)
        drained = await outbox.drain(carrier, clock)
        at_s += [clock.passed_ms // 1000] if len(carrier.got) > before else []
        clock.passed_ms += 15_000
    assert at_s == [0, 60, 360, 1260, 4860], "five times, not six thousand"
    assert drained == Drained(waiting=1, reason="1 were sent without an answer and rest")
    outbox.put(Message("report", "second"), clock)
    await outbox.drain(carrier, clock)
    assert carrier.got[5:] == ["second"]
    carrier.is_late = False
    clock.passed_ms += 60_000
    await outbox.drain(carrier, clock)
    assert [text.rpartition(": ")[2] for text in carrier.got[6:]] == ["second", "first"], "an answer came: all is due"
    assert outbox.waiting == 0


WHOLE = {
    "kind": "report",
    "text": "torn\nid m-1",
    "photos": [],
    "dedup_key": "",
    "severity": "notice",
    "is_html": False,
}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"schema": 1, "kind": "report"}',
        '{"schema": 9}',
        json.dumps({"schema": 1, **WHOLE, "queued_at": "yesterday"}),
    ],
)
async def test_an_unreadable_message_is_set_aside_told_of_and_taken_from_the_record_and_the_rest_goes_out(
    outbox, clock, tmp_path, content
):
    outbox.put(Message("report", "torn"), clock)
    outbox.put(Message("report", "whole"), clock)
    first = tmp_path / "outbox" / "000000000001-m-1.json"
    first.write_text(content)
    carrier = Scripted()
    await outbox.drain(carrier, clock)
    await outbox.drain(carrier, clock)
    assert carrier.got[:2] == ["torn", "whole"]
    assert first.with_name(first.name + ".bad-1").exists()
    assert carrier.got[2].startswith(f"🔔 state.set_aside: {first}: ")
    assert "it is sent as it stands in the record" in carrier.got[2]
    advance(clock, 301)
    await outbox.drain(carrier, clock)
    assert (len(carrier.got), outbox.open_alerts()) == (3, {}), "told once"


async def test_a_damaged_message_without_an_id_is_said_to_be_lost(outbox, clock, tmp_path):
    (tmp_path / "outbox" / "000000000001.json").write_text("{")  # as an older lab named it
    carrier = Scripted()
    await outbox.drain(carrier, clock)
    await outbox.drain(carrier, clock)
    assert "its message is lost here; ./lab explain" in "".join(carrier.got)


@pytest.mark.parametrize("content", ["{", '{"schema": 1, "alerts": 7}', None])
async def test_an_unreadable_ledger_is_set_aside_told_of_and_made_anew_of_what_was_told(
    outbox, clock, tmp_path, content
):
    ledger, carrier = tmp_path / "outbox" / "alerts.json", Scripted()
    for key in ("stop", "data.stale", "risk.halted:DAILY_LOSS"):
        outbox.put(Message("alert", f"🚨 {key}", dedup_key=key, severity=Severity.ALERT), clock)
    outbox.put(Message("approval", "🎯", dedup_key="approval:fc-1"), clock)
    outbox.resolve("data.stale")
    await outbox.drain(carrier, clock)
    if content is None:  # of the right shape, with a wrong value in it
        content = re.sub(r'"told_ms": \d+', '"told_ms": null', ledger.read_text(), count=1)
    ledger.write_text(content)
    restarted = Outbox(tmp_path / "outbox")
    assert sorted(restarted.open_alerts()) == ["risk.halted:DAILY_LOSS", "stop"]
    assert ledger.with_name("alerts.json.bad-1").exists()
    assert not restarted.put(Message("approval", "🎯", dedup_key="approval:fc-1"), clock), "it was told"
    carrier.got.clear()
    await restarted.drain(carrier, clock)
    (said,) = carrier.got
    assert said.startswith(f"🔔 state.set_aside: {ledger}: ")
    assert "2 open alerts are known from what was told, and go on" in said
    advance(clock, 301)
    await restarted.drain(carrier, clock)
    again = sorted(text.splitlines()[0].partition(": ")[0] for text in carrier.got[1:])
    assert again == ["🚨 risk.halted:DAILY_LOSS", "🚨 stop"], "that the file was lost is told once"


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
    assert "since 2023-11-14 22:13 UTC" in carrier.got[-1]
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


def test_a_key_that_is_asked_for_is_known_however_much_is_told_meanwhile(outbox, clock, monkeypatch):
    for module in (boxes, ledgers):
        monkeypatch.setattr(module, "KEPT_KEYS", 8)
    for key in ("approval:a", "approval:b"):
        outbox.put(Message("approval", key, dedup_key=key), clock)
    for n in range(30):
        outbox.put(Message("report", f"report {n}", dedup_key=f"hourly:{n}"), clock)
        assert outbox.was_told("approval:a")
    assert not outbox.was_told("approval:b"), "of what nobody asks for the newest keys are kept"


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
    got = [text for text in carrier.got if "messages.refused" not in text]
    aside = [text for text in aside if "messages.refused" not in text]
    assert sorted(got + aside) == [f"{n:03d}" for n in range(put)]
    assert got == sorted(got)


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
    set_channels(tmp_path / "outbox", {"webhook"})
    outbox = Outbox(tmp_path / "outbox")
    dead, alive = Scripted([NotifierError("down")] * 9), Scripted()
    for n in range(3):
        outbox.put(Message("report", f"m{n}"), clock)
        await outbox.drain(dead, clock)
        await outbox.drain(alive, clock, channel="webhook")
    assert alive.got == ["m0", "m1", "m2"]
    assert outbox.waiting == 3


async def test_an_alert_is_repeated_where_nothing_waits_and_not_piled_up_where_a_channel_is_dead(clock, tmp_path):
    set_channels(tmp_path / "outbox", {"webhook"})
    outbox = Outbox(tmp_path / "outbox")
    dead, alive = Scripted([NotifierError("down")] * 99), Scripted()
    outbox.put(alert(), clock)
    for _ in range(4):
        await outbox.drain(dead, clock)
        await outbox.drain(alive, clock, channel="webhook")
        advance(clock, 3601)
    assert (len(alive.got), outbox.waiting) == (4, 1)


async def test_a_storm_of_different_alerts_is_told_by_five_and_one_message_with_the_counts_of_the_rest(outbox, clock):
    carrier = Scripted()
    for n in range(40):
        text = f"🚨 {'data' if n % 2 else 'carry'} trouble {n}"
        key = f"{'data.stale' if n % 2 else 'carry.difference'}:{n}"
        outbox.put(Message("alert", text, dedup_key=key, severity=Severity.ALERT, is_money=n % 2 == 0), clock)
        await outbox.drain(carrier, clock)
    assert len(carrier.got) == 10, "five about money, and five others"
    outbox.resolve("data.stale:39")  # over before it could be told: told all the same
    outbox.put(Message("alert", "🚨 carry trouble 38", dedup_key="carry.difference:38", severity=Severity.ALERT), clock)
    advance(clock, 61)
    await outbox.drain(carrier, clock)
    (_, *lines) = carrier.got[10].splitlines()
    assert carrier.got[10].startswith("🚨 30 alerts in one: carry.difference 15×, data.stale 15×\n")
    assert len(lines) == 30
    assert [line for line in lines if line.startswith("• carry")] == lines[:15]
    assert lines[14] == "• carry trouble 38 (2× since 22:13 UTC, m-39)"
    assert lines[-1] == "• data trouble 39 (over by now, 1× since 22:13 UTC, m-40)"
    assert "data.stale:39" not in outbox.open_alerts()
    assert len(outbox.open_alerts()) == 39
    advance(clock, 301)
    await outbox.drain(carrier, clock)
    assert [text.partition(":")[0] for text in carrier.got[11:]] == ["🚨 39 alerts in one"], "and so they are repeated"


async def test_a_storm_of_others_holds_no_alert_about_money(outbox, clock):
    carrier = Scripted()
    for n in range(20):
        outbox.put(Message("alert", f"🚨 data {n}", dedup_key=f"data:{n}", severity=Severity.ALERT), clock)
    not_flat = Message("alert", "🚨 NOT FLAT", dedup_key="stop.not_flat", severity=Severity.ALERT, is_money=True)
    assert outbox.put(not_flat, clock)
    await outbox.drain(carrier, clock)
    assert [text.splitlines()[0] for text in carrier.got] == [*(f"🚨 data {n}" for n in range(5)), "🚨 NOT FLAT"]


async def test_a_flapping_alert_is_no_more_than_five_messages_a_minute(outbox, clock):
    carrier = Scripted()
    for _ in range(30):
        outbox.put(alert(), clock)
        await outbox.drain(carrier, clock)
        outbox.resolve("data.stale")
    assert len(carrier.got) == 5
    advance(clock, 61)
    await outbox.drain(carrier, clock)
    assert carrier.got[5].endswith("(over by now, raised 25×)")
    assert outbox.open_alerts() == {}


class Slept(Clock):
    """Lab time and the system's go together, as in life, by hand."""

    def __init__(self) -> None:
        super().__init__(scale=1e-9, origin_ms=START_MS)
        self.passed_ms = 0

    def now_ms(self) -> int:
        return START_MS + self.passed_ms

    def system_ms(self) -> int:
        return self.now_ms()

    def real_s(self) -> float:
        return self.passed_ms / 1000


def ids_of(texts: list[str]) -> list[int]:
    """Every message that was told, whole or in a catch-up."""
    found = []
    for text in texts:
        last = text.splitlines()[-1]
        for first, end in re.findall(r"m-(\d+)(?: to m-(\d+))?", last):
            found += range(int(first), int(end or first) + 1)
    return found


KINDS = ("report", "notice", "heartbeat", "insights", "alert", "approval", "summary")


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(KINDS), st.integers(0, 200)),
            st.tuples(st.just("down"), st.integers(0, 90)),
            st.tuples(st.just("up"), st.integers(0, 90)),
        ),
        max_size=40,
    )
)
async def test_down_for_however_long_nothing_is_lost_and_nobody_is_flooded_afterwards(steps, tmp_path_factory):
    folder, clock, texts = tmp_path_factory.mktemp("outbox"), Slept(), []
    is_up, put, flood = True, [], 0

    class Line:
        async def send(self, message: Message) -> None:
            if not is_up:
                raise NotifierError("down")
            texts.append(message.text)

    for kind, minutes in steps:
        clock.passed_ms += minutes * 60_000
        outbox = Outbox(folder)  # a restart at every step
        if kind in ("down", "up"):
            is_up = kind == "up"
        else:
            severity = Severity.ALERT if kind == "alert" else Severity.NOTICE
            key = f"{kind}:{len(put)}" if kind in ("alert", "approval") else ""
            outbox.put(Message(kind, f"{kind} {len(put)}", dedup_key=key, severity=severity), clock)
            outbox.resolve(key)
            put.append(kind)
        before = len(texts)
        kept = sum(json.loads(path.read_text())["kind"] in KINDS[4:] for path in folder.glob("0*.json"))
        await outbox.drain(Line(), clock)
        flood = max(flood, len(texts) - before - kept)
    is_up = True
    clock.passed_ms += 61_000
    await Outbox(folder).drain(Line(), clock)
    assert sorted(ids_of(texts)) == list(range(1, len(put) + 1)), "each once, whole or in a catch-up"
    for number, kind in enumerate(put):
        if kind == "approval" or (kind == "summary" and put[number:].count("summary") <= SUMMARIES):
            assert any(f"{kind} {number}\nid m-{number + 1}" in text for text in texts), "kept whole"
        if kind == "alert":
            assert any(f"alert {number}" in text for text in texts), "whole, or a line among those that are over"
    assert flood <= 10, "the first, a catch-up or six, those that are over, and the newest report"


async def test_a_day_without_a_channel_word_for_word(tmp_path):
    clock, texts, is_up = Slept(), [], False
    outbox = Outbox(tmp_path / "outbox")

    class Line:
        async def send(self, message: Message) -> None:
            if not is_up:
                raise NotifierError("down")
            texts.append(message.text)

    for hour in range(24):
        outbox.put(Message("report", f"📊 Hourly Report {hour}\nEquity ..."), clock)
        if hour % 6 == 0:
            outbox.put(Message("heartbeat", f"💚 Heartbeat {hour}"), clock)
        if hour == 7:
            outbox.put(Message("notice", "🔔 Carry opened on BTCUSDT\nmore"), clock)
            outbox.put(Message("approval", "🎯 Strategy Approval Needed!", dedup_key="approval:fc-1"), clock)
        await outbox.drain(Line(), clock)
        clock.passed_ms += 3_600_000
    is_up = True
    await outbox.drain(Line(), clock)
    assert texts == [
        "Of 2023-11-14 22:13 UTC: 📊 Hourly Report 0\nEquity ...\nid m-1",
        "📬 Not delivered from 2023-11-14 22:13 to 2023-11-15 20:13 UTC, now in one: "
        "4 heartbeats, 22 reports, 1 notice\n"
        "15 05:13 🔔 Carry opened on BTCUSDT\n"
        "Each whole: ./lab explain ID, of m-2 to m-11, m-13 to m-29",
        "Of 2023-11-15 05:13 UTC: 🎯 Strategy Approval Needed!\nid m-12",
        "Of 2023-11-15 21:13 UTC: 📊 Hourly Report 23\nEquity ...\nid m-30",
    ]


async def test_of_a_month_without_a_channel_a_week_of_summaries_comes_whole(tmp_path):
    clock, texts = Slept(), []
    outbox = Outbox(tmp_path / "outbox")

    class Line:
        async def send(self, message: Message) -> None:
            texts.append(message.text)

    outbox.put(Message("report", "📊 Hourly Report"), clock)
    for day in range(30):
        outbox.put(Message("summary", f"Daily summary {day}", (b"picture",)), clock)
        clock.passed_ms += 24 * 3_600_000
    await outbox.drain(Line(), clock)
    assert len(texts) == 1 + 1 + SUMMARIES
    assert texts[1].partition("\n")[0].endswith("now in one: 23 summaries")
    assert "of m-2 to m-24" in texts[1]
    assert [text.partition(": ")[2].partition("\n")[0] for text in texts[2:]] == [
        f"Daily summary {day}" for day in range(23, 30)
    ]


async def test_alerts_that_are_over_when_the_channel_is_back_come_as_one_and_what_is_still_wrong_comes_whole_and_dated(
    tmp_path,
):
    clock, texts, is_up = Slept(), [], False
    outbox = Outbox(tmp_path / "outbox")

    class Line:
        async def send(self, message: Message) -> None:
            if not is_up:
                raise NotifierError("down")
            texts.append(message.text)

    def put(key: str) -> None:
        outbox.put(Message("alert", f"🚨 {key} is wrong", dedup_key=key, severity=Severity.ALERT), clock)

    put("first")
    outbox.resolve("first")
    for _ in range(144):  # a day, every ten minutes
        put("data.stale")
        await outbox.drain(Line(), clock)
        clock.passed_ms += 300_000
        outbox.resolve("data.stale")
        clock.passed_ms += 300_000
    put("still")
    clock.passed_ms += 1_200_000
    outbox.put(Message("notice", "🔔 of now"), clock)
    is_up = True
    await outbox.drain(Line(), clock)
    assert texts == [
        "Of 2023-11-14 22:13 UTC, over by now: 🚨 first is wrong\nid m-1",
        "📬 Not delivered from 2023-11-14 22:13 to 2023-11-15 22:03 UTC, and over by now: 144 alerts\n"
        "• data.stale is wrong (144× from 14 22:13 to 15 22:03)\n"
        "Each whole: ./lab explain ID, of m-2 to m-145",
        "Of 2023-11-15 22:13 UTC: 🚨 still is wrong\nid m-146",
        "🔔 of now\nid m-147",
    ]


async def test_a_channel_that_is_no_longer_set_up_gets_nothing_more_and_what_waited_for_it_is_kept(clock, tmp_path):
    folder = tmp_path / "outbox"
    for _ in range(2):
        set_channels(folder, {"email"})
        Outbox(folder).put(Message("report", "m"), clock)
        set_channels(folder, set())
    Outbox(folder).put(Message("report", "m"), clock)
    assert sorted(path.name for path in folder.glob("email*")) == ["email.off-1", "email.off-2"]
    assert len(list((folder / "email.off-1").glob("0*.json"))) == 1


def test_what_another_process_told_and_wrote_anew_under_the_same_number_is_looked_at_anew(clock, tmp_path):
    service, guardian = Outbox(tmp_path / "outbox"), Outbox(tmp_path / "outbox")

    def holds(message: Message) -> bool:
        return not message.is_money

    service.put(Message("report", "m"), clock)
    assert not guardian.has_work("", clock, holds)
    (waiting,) = (tmp_path / "outbox").glob("0*.json")
    written_ns = waiting.stat().st_mtime_ns
    waiting.unlink()  # the service told it
    service.put(Message("alert", "🚨 x", dedup_key="x", severity=Severity.ALERT, is_money=True), clock)
    (new,) = (tmp_path / "outbox").glob("0*.json")
    new.rename(waiting)
    os.utime(waiting, ns=(written_ns, written_ns))  # within one tick of the clock that files have
    assert guardian.has_work("", clock, holds)


@pytest.mark.parametrize("cover", ["stop.not_flat", "risk.not_flat:KILL_SWITCH:position=c-1", "guardian:not_flat"])
async def test_while_it_is_not_flat_the_alert_of_the_stop_is_not_repeated(outbox, clock, cover):
    carrier = Scripted()
    for key in ("stop", cover, "data.stale"):
        outbox.put(Message("alert", f"alert {key}", dedup_key=key, severity=Severity.ALERT), clock)
    await outbox.drain(carrier, clock)
    assert len(carrier.got) == 3, "each is told once"
    carrier.got.clear()
    advance(clock, 301)
    await outbox.drain(carrier, clock)
    assert [text.splitlines()[0] for text in carrier.got] == [f"alert {cover}", "alert data.stale"]
    outbox.resolve(cover)
    carrier.got.clear()
    await outbox.drain(carrier, clock)
    assert [text.splitlines()[0] for text in carrier.got] == ["alert stop"], "what it covered goes on"
