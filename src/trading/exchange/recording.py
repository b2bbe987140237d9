"""Everything received on the public side, written down as it came: one line each, six columns between tabs.

`at_ms  real_s  kind  connection  head  text`: lab and real time of receipt; what it is; which socket or market; JSON
about it; the text as the venue sent it. Kinds: `begin` (who recorded, and what it kept), `open` and `broken` (a
socket), `ws` (a message), `rest` (an answer, its request in its head), `failed` (a request that got none, and why).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trading.domain.clock import Clock
from trading.domain.instrument import Market
from trading.exchange.sockets import Asked, Reply
from trading.storage.raw_log import RawLog, Reading, read_lines

Subscription = tuple[Market, str, str]


class Recorder:
    """Writes the record; implements `sockets.Record`.

    Args:
        out: Where lines go.
        clock: Its real time stands on every line.
    """

    def __init__(self, out: RawLog, clock: Clock) -> None:
        self._out, self._clock = out, clock

    def begin(self, subscriptions: Sequence[Subscription], keep_bars: int) -> None:
        """Say whose tapes can be built anew from here on."""
        kept = [[str(market), symbol, interval] for market, symbol, interval in subscriptions]
        self._line(self._clock.now_ms(), "begin", "", {"subscriptions": kept, "keep_bars": keep_bars}, "")

    def message(self, connection: str, at_ms: int, text: str) -> None:
        """A message of a socket."""
        self._out.write(f"{at_ms}\t{self._clock.real_s():.3f}\tws\t{connection}\t\t{_one_line(text)}")

    def answer(self, asked: Asked, reply: Reply, text: str) -> None:
        """An answer to a public request."""
        head = _head(asked) | {"asked_ms": reply.asked_ms}
        self._line(reply.received_ms, "rest", str(asked.market), head, text)

    def failed(self, asked: Asked, at_ms: int, error: str) -> None:
        """A public request without a usable answer."""
        self._line(at_ms, "failed", str(asked.market), _head(asked), error)

    def opened(self, connection: str, at_ms: int, names: list[str]) -> None:
        """A socket is open and subscribed."""
        self._line(at_ms, "open", connection, {"streams": names}, "")

    def broken(self, connection: str, at_ms: int, reason: str) -> None:
        """A socket broke."""
        self._line(at_ms, "broken", connection, {}, reason)

    def _line(self, at_ms: int, kind: str, connection: str, head: Mapping[str, object], text: str) -> None:
        stamp = f"{at_ms}\t{self._clock.real_s():.3f}\t{kind}\t{connection}"
        self._out.write(f"{stamp}\t{json.dumps(head)}\t{_one_line(text)}")


def _head(asked: Asked) -> dict[str, object]:
    return {
        "endpoint": asked.endpoint,
        "params": dict(asked.params),
        "sent_ms": asked.sent_ms,
        "sent_s": round(asked.sent_s, 3),
    }


def _one_line(text: str) -> str:
    """JSON may break lines only where a blank would do as well."""
    return text.replace("\n", " ").replace("\r", " ") if "\n" in text or "\r" in text else text


@dataclass(frozen=True, slots=True)
class Recorded:
    """One line of a recording."""

    at_ms: int
    real_s: float
    kind: str
    connection: str
    head: str
    """JSON, or nothing."""
    text: str


def read_recording(
    folder: Path,
    reading: Reading | None = None,
    *,
    from_ms: int | None = None,
    holding: Sequence[bytes] = (),
) -> Iterator[Recorded]:
    """A recording, oldest line first. A line that is no record is passed over: it can only be a torn one.

    Args:
        folder: Of the recording.
        reading: Filled with what was met in the files.
        from_ms: Leave out files that end before it, lab ms; None: none.
        holding: Leave out lines with none of these; empty: none.
    """
    for line in read_lines(folder, reading, from_ms=from_ms, holding=holding):
        parts = line.split("\t", 5)
        if len(parts) == 6 and parts[0].isdigit():
            yield Recorded(int(parts[0]), float(parts[1]), *parts[2:])
