"""What a worker of a farm does when it is asked: say who it is, keep a tape, do a part."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from threading import Lock

from trading.market.tape import Tape
from trading.simulator.executors.cluster import identity
from trading.simulator.executors.parts import Part, Terms, work
from trading.simulator.population import PopulationResult

TAPES_HELD = 2
"""By a worker; the one not used for longest goes first."""

_tapes: OrderedDict[str, Tape] = OrderedDict()
_arrived: dict[str, int] = {}
_lock = Lock()
"""Of this worker; several threads do parts at a time."""


def introduce() -> tuple[dict[str, str], dict[str, int]]:
    """Asked of a worker: who it is, and how often each tape that it holds came to it."""
    with _lock:
        return identity(), {name: _arrived[name] for name in _tapes}


def hold(tape: Tape) -> str:
    """Asked of a worker: keep this tape; its content hash."""
    with _lock:
        _tapes[tape.content_hash] = tape
        _arrived[tape.content_hash] = _arrived.get(tape.content_hash, 0) + 1
        while len(_tapes) > TAPES_HELD:
            _tapes.popitem(last=False)
    return tape.content_hash


def packed(part: Part, terms: Terms) -> bytes:
    """A part as it travels: the scheduler passes it on unopened."""
    return pickle.dumps((part.specs, terms))


def do_part(tape_hash: str, content: bytes) -> PopulationResult | None:
    """Asked of a worker: do a part; None: the tape is not held (any more)."""
    with _lock:
        tape = _tapes.get(tape_hash)
        if tape is None:
            return None
        _tapes.move_to_end(tape_hash)
    specs, terms = pickle.loads(content)  # noqa: S301  # who may send it may run anything here: see cluster.py
    return work(tape, specs, terms)
