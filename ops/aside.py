"""Files that could not be read and lie beside as `NAME.bad-N`: a human hears of each until it is moved away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.telling.alert_keys import alert_key_of
from trading.domain.events import Event, Severity
from trading.storage.home import Home

if TYPE_CHECKING:
    from ops.service.lab import Lab  # the status reads no rooms

NAME = "state.lies_aside"
FOLDERS = ("state", "state/paper", "state/evidence", "state/told", "strategies", "strategies/testing",
           "strategies/active", "strategies/retired")  # fmt: skip
TELLS_ITSELF = "schedule.json"


def set_aside_files(home: Home) -> list[str]:
    """Their names, from the home's folder on; the outbox and the schedule tell of their own."""
    found = (path for folder in FOLDERS for path in (home.root / folder).glob("*.bad-*"))
    return sorted(str(path.relative_to(home.root)) for path in found if not path.name.startswith(TELLS_ITSELF))


def tell_set_aside(lab: Lab) -> None:
    """Alerts and files agree, also where the lab died of the file before it could tell."""
    now_ms, told = lab.clock.now_ms(), lab.messenger.open_of(NAME)
    events = [Event(now_ms, NAME, {"file": file}, Severity.ALERT) for file in set_aside_files(lab.home)]
    standing = {alert_key_of(event): event for event in events}
    for key in told - standing.keys():
        lab.messenger.resolve(key)
    for key in standing.keys() - told:
        lab.publish(standing[key])
