"""Scripted faults for any endpoint: time-outs, refusals, lost answers, dropped sockets, half fills, old data.

A fault is `{"match": "POST /fapi/v1/order", "kind": "lost_answer", "times": 1, "after": 0}`. `match` is the method and
the path, with `*` for any text ("WS /fut/market*" names sockets); `after` lets that many pass first. Kinds:

timeout_before  never answered, nothing done          timeout_after  done, never answered
lost_answer     done, then the connection breaks      drop_socket    the connection breaks, nothing done
429, 418        told to stay away, with Retry-After   5xx, 500..504  server trouble, nothing done
half_fill       the order is filled by half only      reject:CODE    refused with Binance's code
html            a page in place of JSON               delay:MS       done after so many real milliseconds
fill_first      a cancel comes too late: the order is filled whole before it, and the cancel is refused (-2011)
late_fill       a cancel is confirmed as without a fill, and half of the order turns out to have been filled
force_close     every perpetual position is closed by the exchange before the request is answered
jump:MS         the exchange's clock jumps ahead by so many sandbox milliseconds before the request is answered
lie_stale[:MS]  market data as they were so long ago (15 minutes of sandbox time when not said)

Of sockets only ("WS /..."), besides drop_socket:

silence         stays open and answers pings, but says nothing more, not even to a subscription
half_open       stays open and answers nothing at all, as when a router between has forgotten the connection
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from aiohttp import web

from sandbox.clock import SandboxClock
from sandbox.exchange.errors import SandboxError, refusal
from sandbox.exchange.wire import FORCED, HALF_FILL, RACE, STALE_MS, answer

PLAIN = ("timeout_before", "timeout_after", "lost_answer", "429", "418", "5xx", "500", "502", "503", "504",
         "drop_socket", "half_fill", "fill_first", "late_fill", "force_close", "html", "lie_stale", "silence",
         "half_open")  # fmt: skip
OF_SOCKETS = ("drop_socket", "silence", "half_open")
WITH_NUMBER = ("reject", "delay", "jump", "lie_stale")
_LONGEST_HOLD_S = 120.0
_STALE_MS = 900_000

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Fault:
    """One entry of the schedule; counts itself down."""

    match: str
    kind: str
    number: int | None
    """The code, milliseconds or age behind the colon; None without one."""
    times: int
    """How often it still strikes."""
    after: int
    """How many matching requests pass before it strikes."""

    def view(self) -> dict[str, object]:
        """As it was written, with what is left of it."""
        kind = self.kind if self.number is None else f"{self.kind}:{self.number}"
        return {"match": self.match, "kind": kind, "times": self.times, "after": self.after}


class Faults:
    """The schedule, as aiohttp middleware."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._schedule: list[Fault] = []

    def add(self, faults: list[Fault]) -> None:
        """Put more faults behind those there are."""
        self._schedule += faults

    def clear(self) -> None:
        """Behave again; who is being kept waiting is let go."""
        self._schedule = []

    def views(self) -> list[dict[str, object]]:
        """What is still to come."""
        return [fault.view() for fault in self._schedule if fault.times > 0]

    def take(self, what: str, *, sockets: bool = False) -> Fault | None:
        """The fault that strikes a request ("POST /path") or a socket ("WS /path"), if one does."""
        for fault in self._schedule:
            is_ours = fault.kind in OF_SOCKETS if sockets else fault.kind not in OF_SOCKETS[1:]
            if fault.times <= 0 or not fnmatchcase(what, fault.match) or not is_ours:
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            fault.times -= 1
            return fault
        return None

    async def middleware(self, request: web.Request, respond: Respond) -> web.StreamResponse:
        """Strike, or let pass."""
        if request.path.startswith("/sandbox/") or not (fault := self.take(f"{request.method} {request.path}")):
            return await respond(request)
        if (refused := _refused(fault)) is not None:
            return refused
        if fault.kind == "drop_socket":
            return _broken(request)
        if fault.kind == "delay":
            await self._clock.sleep_real_s((fault.number or 0) / 1000.0)
        elif fault.kind == "timeout_before":
            return await self._hold(request)
        elif fault.kind == "jump":
            self._clock.jump(fault.number or 0)
        _mark(request, fault)
        response = await respond(request)
        if fault.kind == "timeout_after":
            return await self._hold(request)
        return _broken(request) if fault.kind == "lost_answer" else response

    async def _hold(self, request: web.Request) -> web.Response:
        """Say nothing until the other side gives up."""
        until_s, schedule = self._clock.real_s() + _LONGEST_HOLD_S, self._schedule
        while self._clock.real_s() < until_s and schedule is self._schedule:
            if request.transport is None or request.transport.is_closing():
                break
            await self._clock.sleep_real_s(0.05)
        return _broken(request)


def read_faults(text: str, where: str) -> list[Fault]:
    """A schedule from JSON: one fault or a list of them.

    Raises:
        SandboxError: names the entry, the field and what is allowed.
    """
    try:
        loaded: object = json.loads(text)
    except ValueError as error:
        raise SandboxError(f"{where}: not JSON: {error}; give a list of faults") from error
    entries = loaded if isinstance(loaded, list) else [loaded]
    return [_read(entry, f"{where}: fault {i}") for i, entry in enumerate(entries)]


def _read(entry: object, where: str) -> Fault:
    if not isinstance(entry, dict):
        raise SandboxError(f"{where}: {entry!r}: must be an object with match and kind")
    if unknown := sorted(set(entry) - {"match", "kind", "times", "after"}):
        raise SandboxError(f"{where}: unknown field {unknown[0]!r}; there are match, kind, times, after")
    match, kind = entry.get("match"), entry.get("kind")
    if not isinstance(match, str) or " /" not in match:
        raise SandboxError(f"{where}: match={match!r}: must be a method and a path, such as 'POST /fapi/v1/order'")
    name, _, number = str(kind).partition(":")
    if name not in (WITH_NUMBER if number else (*PLAIN,)) or (number and not number.lstrip("-").isdigit()):
        raise SandboxError(f"{where}: kind={kind!r}: must be one of {', '.join(PLAIN)}, reject:CODE, delay:MS, jump:MS")
    counts = entry.get("times", 1), entry.get("after", 0)
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in counts):
        raise SandboxError(f"{where}: times={counts[0]!r} after={counts[1]!r}: must be whole numbers >= 0")
    return Fault(match, name, int(number) if number else None, int(counts[0]), int(counts[1]))


def _mark(request: web.Request, fault: Fault) -> None:
    """Tell the handler what is to happen at the exchange."""
    if fault.kind == "half_fill":
        request[HALF_FILL] = True
    elif fault.kind in ("fill_first", "late_fill"):
        request[RACE] = fault.kind
    elif fault.kind == "force_close":
        request[FORCED] = True
    elif fault.kind == "lie_stale":
        request[STALE_MS] = fault.number or _STALE_MS


def _refused(fault: Fault) -> web.Response | None:
    """An answer in place of the real one."""
    if fault.kind in ("429", "418"):
        response = answer(refusal(-1003).body(), int(fault.kind))
        response.headers["Retry-After"] = "2" if fault.kind == "429" else "5"
        return response
    if fault.kind == "5xx" or (len(fault.kind) == 3 and fault.kind.startswith("5")):
        status = 503 if fault.kind == "5xx" else int(fault.kind)
        return answer(refusal(-1007).body(), status)
    if fault.kind == "reject":
        return answer(refusal(fault.number or -1000).body(), 400)
    if fault.kind == "html":
        return web.Response(text="<html><body><h1>502 Bad Gateway</h1></body></html>", content_type="text/html")
    return None


def _broken(request: web.Request) -> web.Response:
    """Break the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
