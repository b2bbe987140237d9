"""Stops everything, also when the lab is dead: `python stop_trading.py [--keep-positions] [--release]`.

Writes the stop first, then cancels all orders, closes both legs reduce-only, asks the exchange until it is flat, and
says how many seconds that took. A lab that is frozen while it holds the account is ended. Stopped stays stopped over
restarts until `--release`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ops.environment import Environment, caller, find_home, read_environment
from ops.listener import outlive_reader
from ops.status import ALIVE_S
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError, StateFileError, TradingEngineError
from trading.domain.venue import Venue
from trading.execution.intents import Intents
from trading.risk.arming import disarm
from trading.risk.counters import RiskCounters
from trading.risk.guardian import SILENT_S
from trading.risk.kill_switch import release_stop, stop_trading
from trading.storage.files import write_atomic, write_json
from trading.storage.home import Home
from trading.storage.reserve import keep_reserve, let_reserve_go

if TYPE_CHECKING:
    from ops.settings import LabSettings

LOCK_POLL_S = 0.2
"""Real seconds between two tries to get hold of the account."""
FROZEN_PATIENCE_S = 3.0
"""Real seconds that a stopped process, or one without a heartbeat, may go on holding the account."""
BUSY_PATIENCE_S = 150.0
"""The same for a lab that works: it has seen the stop and has its own budget for making everything flat."""
ENDED_PATIENCE_S = 10.0
"""Real seconds that a process which was killed may take to be gone: on a busy machine that is more than a moment."""
SEEN_FLAT_SCHEMA = 1
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a lab may go on holding the account that is wanted flat; real seconds."""

    frozen_s: float
    """One whose loop does not turn."""
    busy_s: float
    """One that works on it."""


def main(words: Sequence[str] | None = None) -> int:
    """The command line: 0 stopped (and flat, unless positions are kept), 1 not flat, 2 refused."""
    parser = argparse.ArgumentParser(prog="stop_trading.py", description="Stop everything, and prove it.")
    parser.add_argument("--keep-positions", action="store_true", help="no new positions; what is held stays hedged")
    parser.add_argument("--release", action="store_true", help="take the stop back; live trading must be armed anew")
    parser.add_argument("--why", default="stop_trading.py", help="goes into the file")
    options = parser.parse_args(words)
    try:
        home = find_home().make()
    except TradingEngineError as error:
        print(f"stop_trading.py: {error}", file=sys.stderr)
        return 2
    written: Path | None = None
    try:
        if options.release:
            return release(home, print)
        written = stop_trading(
            home,
            by=caller(),
            why=options.why,
            at_ms=Clock().now_ms(),
            keep_positions=options.keep_positions,
        )
        stopped, usual = (path.relative_to(home.root) for path in (written, home.stopped_file))
        instead = "" if stopped == usual else f" in place of {usual}, which cannot be"
        print(f"stopped: {stopped} is written{instead}; nothing new will be opened")
        if options.keep_positions:
            return 0
        return asyncio.run(_flat(home, read_environment(home), settings_or_defaults(home)))
    except TradingEngineError as error:
        print(f"stop_trading.py: {error}", file=sys.stderr)
        if written is not None:
            print("stop_trading.py: the stop stands, but what is open may still be open: run it again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstop_trading.py: the stop stands, but nobody has seen everything flat: run it again", file=sys.stderr)
        return 1


def release(home: Home, say: Say) -> int:
    """Take every stop and every halt back; live trading must be armed anew by a human.

    Raises:
        StateFileError: the counters of risk cannot be read; the stops are released all the same. Or a file cannot be
            removed: what was not yet is still in force.
    """
    armed = disarm(home)  # first: where that cannot be, a released lab would trade on unasked
    found = release_stop(home)
    keep_reserve(home)
    say(f"released: {', '.join(found) or 'nothing was stopped'}")
    if halts := RiskCounters(home.state / "risk_counters.json").memory.halts:
        write_atomic(release_request(home), b"asked for by stop_trading.py --release\n")
        say(f"halts, released at the lab's next look: {', '.join(halt.reason for halt in halts)}")
    if os.environ.get("KILL", "").strip() not in ("", "0"):
        say("KILL is still set in the environment: that stop is in force until it is unset")
    if armed:
        say("live trading is no longer armed; python go_live.py arms it again")
    return 0


def release_request(home: Home) -> Path:
    """There while a human's wish to release every halt has not been fulfilled; the service removes it."""
    return home.state / "RELEASE_HALTS"


def settings_or_defaults(home: Home) -> LabSettings:
    """`lab.yaml`, or its defaults: a slip in it may be why the lab is dead, and must not keep positions open."""
    from ops.settings import LabSettings, read_settings  # a second of imports, after the stop is on disk

    try:
        return read_settings(home.settings_file)
    except SettingsError as error:
        print(f"stop_trading.py: {error}; stopping with the default settings", file=sys.stderr)
        return LabSettings()


def remembered(home: Home, code: int) -> int:
    """Note that everything was seen flat: a stop with a dead lab that nobody saw through is the watchman's alert."""
    if code == 0:
        try:
            write_json(home.state / "seen_flat.json", {"at_ms": Clock().now_ms()}, schema=SEEN_FLAT_SCHEMA)
        except StateFileError as error:
            print(f"stop_trading.py: that cannot be noted for the watchman: {error}", file=sys.stderr)
    return code


def without_keys(home: Home, say: Say) -> int:
    """What can be said without asking the exchange: the journal knows what the lab opened."""
    from trading.funding.forgotten import forgotten  # after the stop is on disk

    intents = Intents(home.intents_file)
    held = dict.fromkeys([*intents.positions(), *forgotten(home.positions_file, intents)])
    if not held:
        say("no trading keys here, and the journal knows of nothing that is open")
        return 0
    say(
        f"NOT CHECKED: {', '.join(held)} may be open, and there are no trading keys here to close it: "
        "set BINANCE_API_KEY and BINANCE_API_SECRET in .env and run it again, or close both legs on the exchange"
    )
    return 1


async def _flat(home: Home, environment: Environment, settings: LabSettings) -> int:
    from ops.lab_clock import lab_clock
    from ops.venues import make_venue  # seconds of imports, after the stop is on disk

    if environment.binance_api_key is None:
        return remembered(home, without_keys(home, print))
    clock = lab_clock(settings)
    venue = make_venue(settings, environment, clock, home)
    try:
        return remembered(home, await make_flat(home, venue, settings, clock, print))
    finally:
        await venue.close()


async def make_flat(
    home: Home, venue: Venue, settings: LabSettings, clock: Clock, say: Say, *, patience: Patience | None = None
) -> int:
    """Close all that is ours and ask until flat; 0 when it is. `patience` None: the stop script's own.

    Raises:
        StateFileError: the journal cannot be read, or a process that is not this home's lab holds the account.
    """
    from trading.funding.desk import flatten_home, trading_tools

    tools = trading_tools(home, venue, settings=settings.execution, clock=clock, environment=os.environ, mends=False)
    holder = _Holder(home, say, patience or Patience(FROZEN_PATIENCE_S, BUSY_PATIENCE_S))
    while True:
        try:
            reports = await flatten_home(tools, home, why="stop_trading.py")
            break
        except StateFileError as error:
            # The running lab has seen the stop and is making everything flat itself: wait for its result.
            if "already runs" in str(error):
                if not await holder.waited():
                    raise
            elif not let_reserve_go(home, error):  # a full disk takes no order's line
                raise
    for report in reports:
        state = "flat" if report.is_flat else "NOT FLAT"
        dust = f", dust {report.dust_base} base" if report.dust_base else ""
        say(f"{report.symbol} {report.position_id}: {state} after {report.elapsed_s:.1f} s{dust}")
        for line in report.errors:
            say(f"  {line}")
    if not reports:
        say("nothing of this lab's is open" + (": the running lab has closed it" if holder.pid else ""))
    return 0 if all(report.is_flat for report in reports) else 1


class _Holder:
    """Whoever holds the account while the stop script wants it. All times are real."""

    def __init__(self, home: Home, say: Say, patience: Patience) -> None:
        self._home, self._say, self._patience, self._clock = home, say, patience, Clock()
        self._since_s = self._clock.real_s()
        self._was_ended = False
        self.pid = 0
        """0: nobody held it."""

    async def waited(self) -> bool:
        """Wait a little; end the lab when it does not let go. False: nothing more can be done."""
        known, self.pid = self.pid, _pid_in(self._home.state / "trading.lock") or self.pid
        if self.pid != known:
            self._say(f"process {self.pid} works on the account: waiting for it")
        spent_s = self._clock.real_s() - self._since_s
        patience_s = self._patience.frozen_s if self._is_frozen() else self._patience.busy_s
        patience_s = ENDED_PATIENCE_S if self._was_ended else patience_s
        if spent_s > patience_s:
            is_our_lab = self.pid == _pid_in(self._home.lock_file) != os.getpid()
            if self._was_ended or not is_our_lab:
                return False
            self._say(f"process {self.pid} does not let go after {spent_s:.0f} s: it is ended; its journal goes on")
            self._was_ended, self._since_s = True, self._clock.real_s()
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        await self._clock.sleep_s(LOCK_POLL_S)
        return True

    def _is_frozen(self) -> bool:
        """Stopped by a signal, without a pulse for seconds, or without a heartbeat for minutes."""
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
            now_s = self._clock.system_ms() / 1000.0
            age_s = now_s - self._home.heartbeat_file.stat().st_mtime
            pulse = self._home.pulse_file
            has_no_pulse = pulse.exists() and now_s - pulse.stat().st_mtime > SILENT_S
        except OSError:
            return False
        return state in "Tt" or has_no_pulse or age_s > ALIVE_S


def _pid_in(lock: Path) -> int:
    try:
        return int(lock.read_text())
    except (OSError, ValueError):
        return 0


if __name__ == "__main__":
    outlive_reader(OSError)
    sys.exit(main())
