"""The two things a human can do from the page: pause, and stop. Both only make the lab safer; nothing here releases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ops.dashboard.standing import service_tone
from ops.dashboard.view import Tone
from ops.status import read_signs
from trading.domain.clock import Clock, iso
from trading.domain.errors import StateFileError
from trading.storage.files import write_atomic
from trading.storage.home import Home


@dataclass(frozen=True, slots=True)
class Act:
    """One of them."""

    title: str
    button: str
    means: tuple[str, ...]
    """What it does, said before it is done."""
    done: str
    do: Callable[[Home, Clock], tuple[str, ...]]
    """Does it; what came of it, in words."""


def pause(home: Home, clock: Clock) -> tuple[str, ...]:
    """Write `state/PAUSED`; what that means now.

    Raises:
        StateFileError: it cannot be written.
    """
    _put(home, home.pause_file, clock)
    return ("state/PAUSED is there. Nothing new is opened until a human removes it; what is held is looked after.",)


def stop(home: Home, clock: Clock) -> tuple[str, ...]:
    """Write `state/KILL_SWITCH`; who will act on it.

    Raises:
        StateFileError: it cannot be written.
    """
    _put(home, home.kill_files[0], clock)
    return _who_acts(home, clock)


def _put(home: Home, path: Path, clock: Clock) -> None:
    """One that is there already stays as it is: its content says who was first."""
    if path.exists() or path.is_symlink():
        return
    try:
        home.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateFileError(f"{home.state}: cannot be made: {error.strerror}; check permissions") from error
    write_atomic(path, f"from the page at {iso(clock.system_ms())}\n".encode())


def _who_acts(home: Home, clock: Clock) -> tuple[str, ...]:
    """Who will act on a stop: the running service; where there is none, nobody may."""
    lives = service_tone(read_signs(home, clock, [])) is Tone.GOOD
    first = "state/KILL_SWITCH is there. Nothing new is opened, also after a restart, until a human releases it."
    if lives:
        return (
            first,
            "The running service cancels its orders and closes both legs now; the overview and a message say when all "
            "is flat.",
        )
    return (
        first,
        "The service gives NO SIGN OF LIFE. A running guardian makes everything flat; if there is none, nothing is "
        "closed until you run on the machine: python stop_trading.py",
    )


ACTS = {
    "pause": Act(
        "Pause: no new positions?",
        "Yes, pause",
        (
            "state/PAUSED is written. What is held stays held and hedged, and is looked after; nothing new is opened, "
            "also after a restart.",
            "The page cannot take it back: on the machine, removing the file does. So does python stop_trading.py "
            "--release, but then live trading must be armed anew.",
        ),
        "Paused",
        pause,
    ),
    "stop": Act(
        "Stop everything?",
        "Yes, stop and close everything",
        (
            "state/KILL_SWITCH is written. The lab cancels all its orders, closes both legs of every position at the "
            "market and opens nothing more, also after a restart.",
            "The page cannot take it back: on the machine, python stop_trading.py --release does. Live trading must "
            "then be armed anew.",
        ),
        "Stopped",
        stop,
    ),
}
