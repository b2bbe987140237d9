"""`alerts.json`: the open alerts and the keys already told. One that cannot be read is made anew of what was told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import structlog
from pydantic import TypeAdapter

from trading.domain.errors import StateFileError
from trading.notify.alerts import STORM_FREE, OpenAlert
from trading.notify.told import ToldLog
from trading.storage.checked import read_checked
from trading.storage.files import write_json

log = structlog.get_logger(__name__)

SCHEMA = 1
LEDGER = "alerts.json"
KEPT_KEYS = 512
"""Keys of messages that were told once, the newest."""
SET_ASIDE = "state.set_aside"
"""What is told once of a file that could not be read."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What `alerts.json` holds; changed in place, then written."""

    alerts: dict[str, OpenAlert] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    """Keys of messages that are told once, oldest first."""
    recent_ms: list[int] = field(default_factory=list)
    """When alerts were told by themselves, the newest; those about money apart, so that no other storm holds them."""
    recent_money_ms: list[int] = field(default_factory=list)
    unsaid: list[str] = field(default_factory=list)
    """Notices that the next drain queues: that this file was made anew."""


_LEDGER = TypeAdapter(Ledger)


class LedgerFile:
    """The file of one outbox. Whoever reads or writes holds the outbox's lock.

    Args:
        folder: The outbox.
        told: What was told, by which a lost ledger is made anew.
    """

    def __init__(self, folder: Path, told: ToldLog) -> None:
        self._path, self._told = folder / LEDGER, told

    def read(self) -> Ledger:
        """What it holds; of one that cannot be read, what the record of what was told knows, and a notice that says so.

        Raises:
            StateFileError: neither can be read, or the new one cannot be written.
        """
        try:
            return read_checked(self._path, _LEDGER, schema=SCHEMA, needs=("alerts", "told")) or Ledger()
        except StateFileError as error:
            if self._path.exists():  # it was not even opened
                raise
            why = str(error)
        log.warning("outbox.ledger_lost", reason=why)
        ledger = self._made_anew(why)
        self.write(ledger)
        return ledger

    def write(self, ledger: Ledger) -> None:
        """Replace it.

        Raises:
            StateFileError: it cannot be written.
        """
        alerts = {key: asdict(alert) for key, alert in ledger.alerts.items()}
        recent = {"recent_ms": ledger.recent_ms[-STORM_FREE:], "recent_money_ms": ledger.recent_money_ms[-STORM_FREE:]}
        lists = {"told": ledger.told[-KEPT_KEYS:], "unsaid": ledger.unsaid}
        write_json(self._path, {"alerts": alerts, **lists, **recent}, schema=SCHEMA)

    def _made_anew(self, why: str) -> Ledger:
        standing, once = self._told.standing()
        # Whether one is about money is not on record: all may wake the reader.
        alerts = {
            key: OpenAlert(one.kind, one.text, one.at_ms, one.at_ms, told=1, raised=1, id=one.id, is_money=True)
            for key, one in standing.items()
        }
        text = f"🔔 {SET_ASIDE}: {why}. {len(alerts)} open alerts are known from what was told, and go on"
        return Ledger(alerts, once, unsaid=[text])
