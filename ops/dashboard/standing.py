"""What has to be known before any number is read, on every view alike: does the lab live, and what stops it."""

from __future__ import annotations

from collections.abc import Iterator

from ops.dashboard.view import Banner, Tone, when
from ops.get_status import service_line
from ops.status import ALIVE_S, Signs
from ops.telling.measured import both
from trading.risk.memory import Halt

RELEASE = "python stop_trading.py --release"


def standing(signs: Signs) -> Iterator[Banner]:
    """The service, the stop and the pause, one banner each."""
    yield Banner(f"The service: {service_line(signs)}", service_tone(signs))
    if signs.stop is not None:
        unset = "KILL taken out of .env and the environment, then " if signs.switch.startswith("KILL=") else ""
        yield Banner(f"STOPPED: {signs.stop}; {unset}{RELEASE} takes it back", Tone.BAD)
    if signs.paused:
        yield Banner("PAUSED: no new positions while state/PAUSED is there", Tone.CAUTION)


def halt_banner(halt: Halt, word: str, tone: Tone) -> Banner:
    """One halt, or an open breaker, with its numbers as messages tell them."""
    what = f"{halt.reason} of {halt.subject}" if halt.subject else halt.reason
    told = (what, both(halt.reason, halt.value, halt.limit), halt.note)
    return Banner(f"{word} since {when(halt.at_ms)}: {', '.join(filter(None, told))}", tone)


def service_tone(signs: Signs) -> Tone:
    """Alive, or not, or not yet."""
    if signs.is_starting or (signs.pid is None and signs.heartbeat_age_s is None):
        return Tone.CAUTION
    is_alive = signs.pid is not None and signs.heartbeat_age_s is not None and signs.heartbeat_age_s <= ALIVE_S
    return Tone.GOOD if is_alive else Tone.BAD
