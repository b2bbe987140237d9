"""`./lab explain`: why did it do that, or nothing, at 14:00? A cycle, a message or a moment, from the audit file.

Reads only, asks no network, works beside a running lab and without one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice, takewhile

from ops.environment import find_home
from ops.explain.words import cycle_lines, message_lines, run_line
from ops.flags import time_of
from ops.reader import UTC, Reader
from ops.settings import config_hash, read_settings
from ops.trace.live_records import CycleLine, parsed_cycle
from trading.domain.clock import MINUTE_MS, Clock, as_datetime, iso
from trading.domain.errors import SettingsError, StateFileError
from trading.journal.audit_window import AuditWindow, cycle_id
from trading.journal.audit_window import time_of as written_ms
from trading.notify.told import Told, ToldLog, number_of
from trading.storage.home import Home

AFTERWARDS_MS = 2 * MINUTE_MS
"""An alert comes out of a cycle that is written down a little later."""
RUN_LINES = 2000
"""How many cycles before are looked at for since when the answer is the same."""
NEAR = 3
"""Ids on either side that are named where one is unknown."""
GAP_MS = 10 * MINUTE_MS
"""A cycle this far from the moment that was asked for is told as such."""
_CYCLE_ID = re.compile(r"d-(\d{6})-(\d{4})-([0-9a-f]{4})")
_REASON = re.compile(rb'"reason":"([A-Z_]+)","regime":.*"status":"([A-Z_]+)"')


def run_explain(wanted: str | None, at: str | None) -> int:
    """Print the answer; 0, or 1 where nothing is known of what was asked.

    Raises:
        SettingsError: neither an id nor a time, or none that makes sense.
        StateFileError: a file cannot be read.
    """
    home = find_home()
    lines, is_known = _answer(home, wanted, at)
    print("\n".join(lines))
    return 0 if is_known else 1


def _answer(home: Home, wanted: str | None, at: str | None) -> tuple[list[str], bool]:
    if (wanted is None) == (at is None):
        raise SettingsError(
            "give one of both: an id, such as m-1742 of a message or d-260121-1400-7f3a of a cycle, or --at 14:00"
        )
    window = AuditWindow(home.audit_file)
    if at is not None:
        return _moment(home, window, _asked(home, window, at))
    text = str(wanted).strip()
    if _CYCLE_ID.fullmatch(text.lower()):
        return _cycle(home, window, text.lower())
    number = number_of(text)
    if number is not None:
        return _message(home, window, number)
    if re.fullmatch(r"\d{1,2}:\d{2}(\s*UTC)?", text, re.IGNORECASE) or re.match(r"\d{4}-\d{2}", text):
        return _moment(home, window, _asked(home, window, text))
    raise SettingsError(f"{text!r}: no id of a message (m-1742), of a cycle (d-260121-1400-7f3a), and no time (14:00)")


def _asked(home: Home, window: AuditWindow, text: str) -> int:
    """The moment that was typed; where the lab follows a sandbox's clock, seen from its newest cycle."""
    settings, now_ms = read_settings(home.settings_file), Clock().now_ms()
    newest = next(window.before_ms(2**62), None) if settings.venue.follow_sandbox_clock else None
    if newest is not None:
        now_ms = _parsed(newest).at_ms
    return moment_of(text, now_ms=now_ms, reader=settings.messages.reader)


def moment_of(text: str, *, now_ms: int, reader: Reader = UTC) -> int:
    """A moment in lab time: `14:00` is the latest that has been; with a date, `2026-01-21 14:00`, or 2026-01-21T14:00Z.

    By the reader's clock, unless it says otherwise.

    Raises:
        SettingsError: neither.
    """
    clock = re.fullmatch(r"(\d{1,2}):(\d{2})(\s*UTC)?", text.strip(), re.IGNORECASE)
    if clock is None:
        named = re.sub(r"\s*UTC$", "Z", text.strip(), flags=re.IGNORECASE)
        at_ms = time_of("--at", named)
        says_zone = re.search(r"(Z|[+-]\d{2}:?\d{2})$", named)
        return at_ms if says_zone else int(as_datetime(at_ms).replace(tzinfo=reader.zone()).timestamp() * 1000)
    hours, minutes = int(clock[1]), int(clock[2])
    if hours > 23 or minutes > 59:  # of a day, of an hour
        raise SettingsError(f"--at {text}: no time of a day; write it as 14:00")
    now = as_datetime(now_ms).astimezone((UTC if clock[3] else reader).zone())
    at = now.replace(hour=hours, minute=minutes, second=0, microsecond=0)
    at = at if at <= now else at - timedelta(days=1)
    return int(at.timestamp() * 1000)


def _moment(home: Home, window: AuditWindow, at_ms: int) -> tuple[list[str], bool]:
    """The cycle that decided in that minute, else the last one before it."""
    first = next(window.from_ms(at_ms), None)
    here = None if first is None else _parsed(first)
    if here is not None and here.at_ms < at_ms + MINUTE_MS:
        return _told(home, window, here), True
    before = next(window.before_ms(at_ms), None)
    if before is None and here is None:
        return ["No cycle has been written down yet: the lab has not run here."], False
    last = None if before is None else _parsed(before)
    lines = [f"No cycle was decided at {iso(at_ms)}."]
    if last is None and here is not None:
        return [*lines, f"The first one on record is of {iso(here.at_ms)}: ./lab explain {_id(here)}"], False
    if last is not None:
        if at_ms - last.at_ms > GAP_MS:
            until = "none came after it" if here is None else f"the next one is of {iso(here.at_ms)} ({_id(here)})"
            lines.append(f"The lab did not run then, or hung: the last cycle before is of {iso(last.at_ms)}; {until}.")
        lines += ["", *_told(home, window, last)]
    return lines, True


def _cycle(home: Home, window: AuditWindow, wanted: str) -> tuple[list[str], bool]:
    found = _CYCLE_ID.fullmatch(wanted)
    day, minute = ("", "") if found is None else (found[1], found[2])
    stamp = f"20{day[:2]}-{day[2:4]}-{day[4:]}T{minute[:2]}:{minute[2:]}Z"
    start_ms = time_of(wanted, stamp)
    minute = takewhile(lambda raw: (written_ms(raw) or 0) < start_ms + MINUTE_MS, window.from_ms(start_ms))
    in_minute, damaged = _readable(islice(minute, RUN_LINES))
    for line in in_minute:
        if _id(line) == wanted:
            return _told(home, window, line), True
    if damaged is not None:  # it may be the one
        raise damaged
    earlier, _ = _readable(islice(window.before_ms(start_ms), NEAR))
    later, _ = _readable(islice(window.from_ms(start_ms), NEAR))
    named = [*reversed(earlier), *(in_minute or later)][: 2 * NEAR]
    lines = [f"{wanted}: no such cycle on record. Near it:" if named else f"{wanted}: no cycle is on record yet."]
    return lines + [f"  {_id(line)}  {iso(line.at_ms)} {line.status} {line.reason}" for line in named], False


def _message(home: Home, window: AuditWindow, number: int) -> tuple[list[str], bool]:
    told = {number_of(one.id): one for one in ToldLog(home.outbox)}
    one = told.get(number)
    if one is None:
        near = [number_ for number_ in told if number_ is not None and abs(number_ - number) <= NEAR]
        near = sorted(near) or sorted(known for known in told if known is not None)[-NEAR:]
        lines = [f"m-{number}: no such message on record." + (" Near it:" if near else " None is yet.")]
        return lines + [f"  m-{known}  {_head(told[known])}" for known in near], False
    lines = message_lines(one)
    named = _CYCLE_ID.search(one.text)
    if named is not None:
        rest, _ = _cycle(home, window, named[0])
        return [*lines, "", "The cycle that it names:", *rest], True
    cycle = _cycle_of(window, one)
    if cycle is None:
        return [*lines, "", "No cycle had been written down by then."], True
    return [*lines, "", "The cycle that decided then:", *_told(home, window, cycle)], True


def _cycle_of(window: AuditWindow, told: Told) -> CycleLine | None:
    """The cycle a message came out of: its line is written right after it; else the last one before."""
    after = next(window.from_ms(told.at_ms), None)
    line = None if after is None else _parsed(after)
    if line is not None and line.at_ms <= told.at_ms + AFTERWARDS_MS and told.kind in ("alert", "notice"):
        return line
    before = next(window.before_ms(told.at_ms), None)
    return line if before is None else _parsed(before)


def _told(home: Home, window: AuditWindow, line: CycleLine) -> list[str]:
    """Everything about one cycle."""
    settings = read_settings(home.settings_file)
    same = "as lab.yaml is now" if line.config_sha256 == config_hash(settings) else "others than lab.yaml has now"
    lines = cycle_lines(line, name=_id(line), settings=f"{line.config_sha256 or '?'}, {same}")
    return [*lines, run_line(line, list(_run_before(window, line)))]


def _run_before(window: AuditWindow, line: CycleLine) -> Iterator[tuple[int, str, str]]:
    """Time, status and reason of the cycles before, newest first, not taken apart further."""
    for raw in islice(window.before_ms(line.at_ms), RUN_LINES):
        found, at_ms = _REASON.search(raw), written_ms(raw)
        if found is None or at_ms is None:
            return
        yield at_ms, found[2].decode(), found[1].decode()


def _head(told: Told) -> str:
    return f"{as_datetime(told.at_ms):%Y-%m-%d %H:%M} UTC  {told.text.splitlines()[0][:80]}"


def _id(line: CycleLine) -> str:
    return cycle_id(line.at_ms, line.hash)


def _readable(raws: Iterable[bytes]) -> tuple[list[CycleLine], StateFileError | None]:
    """Lines taken apart, and what is wrong with the first that makes no sense; None: all do."""
    lines, damaged = list[CycleLine](), None
    for raw in raws:
        try:
            lines.append(_parsed(raw))
        except StateFileError as error:
            damaged = damaged or error
    return lines, damaged


def _parsed(raw: bytes) -> CycleLine:
    return parsed_cycle(raw, f"audit file: the line that begins {raw[:40]!r}")
