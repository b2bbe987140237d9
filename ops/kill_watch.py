"""Watches for a stop beside the schedule: sees it within a fraction of a second, and makes everything flat."""

from __future__ import annotations

import asyncio

from ops.jobs import trading_loop
from ops.numbers import to_release
from ops.service.lab import Lab
from ops.stop_trading import release_request
from trading.domain.decisions import Decision
from trading.domain.errors import StateFileError
from trading.domain.events import Severity
from trading.execution.intents import Intents
from trading.risk.kill_switch import Stop, read_stop
from trading.storage.reserve import let_reserve_go

LOOK_S = 0.2
"""Real seconds between two looks at the kill file."""
FLAT_AGAIN_S = 2.0
"""Real seconds until what is not flat is tried again."""
QUIET_TRIES = 3
"""So often somebody else may hold the account before the human hears that nothing is flat."""


class KillWatch:
    """One lab's eye on its kill switches.

    Args:
        lab: What is made flat.
        stop: Ends it.
    """

    def __init__(self, lab: Lab, stop: asyncio.Event) -> None:
        self._lab, self._stop = lab, stop

    async def run(self) -> None:
        """Look until stopped.

        Raises:
            BaseException: a bug of the way to flat, which touches money.
        """
        seen, flat_for, tries, seen_s = Stop(), "", 0, 0.0
        while not self._stop.is_set():
            stop, wait_s = read_stop(self._lab.home, self._lab.setting.switches), LOOK_S
            if seen.blocks_entries and not stop.blocks_entries:
                self._lab.tell("stop.released", {"source": seen.source}, Severity.NOTICE)
            seen = stop
            try:
                self._release_halts()
                if not stop.demands_flat:
                    flat_for, seen_s = "", 0.0
                elif stop.source != flat_for:
                    tries, seen_s = tries + 1, seen_s or self._lab.clock.monotonic_s()
                    if await self._go_flat(stop.decision, seen_s, is_last_hope=tries >= QUIET_TRIES):
                        flat_for, tries = stop.source, 0
                    else:
                        wait_s = FLAT_AGAIN_S
            except StateFileError as error:  # a full disk must not end who closes
                self._lab.failed("watch", error)
                wait_s = 0.0 if let_reserve_go(self._lab.home, error) else FLAT_AGAIN_S
            await self._lab.clock.real_wait_s(self._stop, wait_s)

    def _release_halts(self) -> None:
        """A human asked for it: `stop_trading.py --release`."""
        request = release_request(self._lab.home)
        if self._lab.desk is not None and request.exists():
            self._lab.desk.release_halts()
            request.unlink()

    async def _go_flat(self, why: Decision, seen_s: float, *, is_last_hope: bool) -> bool:
        """Close everything; whether it is closed. That a stop script is at it already is no alert at once."""
        if self._lab.desk is None:
            self._lab.tell("stop.seen", {"source": why.note})
            held = ", ".join(Intents(self._lab.home.intents_file, mends=False).positions())
            what = f"{held} may be open, which nobody can close" if held else "nothing is held"
            self._tell_stands(why, f"{what}: there are no trading keys here")
            return True
        self._lab.tell("stop.seen", {"source": why.note, "alert_key": "stop"}, Severity.ALERT)
        async with self._lab.trading:
            report = await self._lab.desk.flatten(why)
        trading_loop.write_audit(self._lab, report, {})
        trading_loop.remember_live(self._lab, report)
        trading_loop.write_heartbeat(self._lab)
        if report.held:
            # What was tried and is not flat has told so itself, by position and with what failed.
            if is_last_hope and not self._lab.messenger.open_of("risk.not_flat"):
                self._lab.tell("stop.not_flat", {"note": report.decision.note}, Severity.ALERT)
            return False
        facts = {"seconds": self._lab.clock.monotonic_s() - seen_s, "note": why.note}
        self._lab.tell("stop.flat", facts, Severity.NOTICE)
        self._tell_stands(why, "everything is flat")
        return True

    def _tell_stands(self, why: Decision, held: str) -> None:
        """From here on the alert of the stop says what is so now, and what ends it."""
        facts = {"source": why.note, "held": held, "release": to_release([why.note]), "alert_key": "stop"}
        self._lab.tell("stop.stands", facts, Severity.ALERT)
