"""What every random life of a desk has: a folder of its own, restarts, stops, a human, and a settled end to look at."""

from __future__ import annotations

import asyncio
import tempfile
from decimal import Decimal
from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.trading.funding.rig import DeskRig
from trading.domain.decisions import Reason
from trading.funding.report import CycleReport
from trading.storage.home import Home

FAULTS = ("crash_before", "crash_after", "lost_before", "lost_after", "late", "reject", "half", "down", "rate_limit")
LOT = Decimal("0.001")
DUST = Decimal("0.0004")
"""What fees in coin and the venue's minimum leave of a leg or two."""
ENDLESS = 40


class Settling(RuleBasedStateMachine):
    """One desk, one account; every step may fail half way, and every check is made after the desk has settled."""

    rig: DeskRig

    def open(self) -> Home:
        """A home and a loop for one life."""
        self._folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        return Home(Path(self._folder.name)).make()

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.close()
            self._folder.cleanup()

    @rule()
    def restart(self) -> None:
        self.rig = self.rig.reborn()

    def stop_and_release(self) -> None:
        """The kill file, a cycle, and no kill file; then nothing is under way."""
        self.rig.home.kill_files[0].write_text("")
        self.runner.run(self._cycle(armed=True))
        self.rig.home.kill_files[0].unlink()
        self.settle()

    def settle(self) -> None:
        """Cycle unarmed and undisturbed until nothing is under way."""
        for _ in range(ENDLESS):
            report = self.runner.run(self._cycle(armed=False))
            intents = self.rig.desk._room.tools.intents
            unsure = report.reason in (Reason.OUTCOME_UNKNOWN, Reason.DATA_UNAVAILABLE)
            if not intents.unfinished() and not unsure:
                break
        else:
            raise AssertionError(f"no end in sight: {report.reason} {report.decision.note}")
        books = report.identity
        halts = [halt.reason for halt in self.rig.desk.counters.memory.halts]
        assert books is None or abs(books.error_quote) <= Decimal("0.01"), report.decision
        assert Reason.EQUITY_IDENTITY not in halts

    async def _cycle(self, *, armed: bool) -> CycleReport:
        raise NotImplementedError
