"""Stops everything, also when the lab is dead: `python stop_trading.py [--keep-positions] [--release]`.

Writes the stop first, then cancels all orders, closes both legs reduce-only, asks the exchange until it is flat, and
says how many seconds that took. Stopped stays stopped over restarts until `--release`.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Callable, Sequence

from ops.environment import Environment, find_home, read_environment
from ops.settings import LabSettings, read_settings
from trading.domain.clock import Clock
from trading.domain.errors import StateFileError, TradingEngineError
from trading.domain.venue import Venue
from trading.risk.arming import disarm
from trading.risk.kill_switch import release_stop, stop_trading
from trading.storage.home import Home

LOCK_TRIES = 100
LOCK_WAIT_S = 0.2
Say = Callable[[str], None]


def main(words: Sequence[str] | None = None) -> int:
    """The command line: 0 stopped (and flat, unless positions are kept), 1 not flat, 2 refused."""
    parser = argparse.ArgumentParser(prog="stop_trading.py", description="Stop everything, and prove it.")
    parser.add_argument("--keep-positions", action="store_true", help="no new positions; what is held stays hedged")
    parser.add_argument("--release", action="store_true", help="take the stop back; live trading must be armed anew")
    parser.add_argument("--why", default="stop_trading.py", help="goes into the file")
    options = parser.parse_args(words)
    try:
        home, clock = find_home().make(), Clock()
        if options.release:
            return release(home, print)
        stop_trading(
            home,
            by=getpass.getuser(),
            why=options.why,
            at_ms=clock.now_ms(),
            keep_positions=options.keep_positions,
        )
        print(f"stopped: {home.stopped_file.relative_to(home.root)} is written; nothing new will be opened")
        if options.keep_positions:
            return 0
        environment, settings = read_environment(home), read_settings(home.settings_file)
        return asyncio.run(_flat(home, environment, settings, clock))
    except TradingEngineError as error:
        print(f"stop_trading.py: {error}", file=sys.stderr)
        return 2


def release(home: Home, say: Say) -> int:
    """Take every stop back; live trading must be armed anew by a human."""
    found = release_stop(home)
    armed = disarm(home)
    say(f"released: {', '.join(found) or 'nothing was stopped'}")
    if armed:
        say("live trading is no longer armed; python go_live.py arms it again")
    return 0


async def _flat(home: Home, environment: Environment, settings: LabSettings, clock: Clock) -> int:
    from ops.wiring import make_venue  # seconds of imports, after the stop is on disk

    if environment.binance_api_key is None:
        print("no trading keys here: nothing of this lab's can be open on the exchange")
        return 0
    venue = make_venue(settings, environment, clock)
    try:
        return await make_flat(home, venue, settings, clock, print)
    finally:
        await venue.close()


async def make_flat(home: Home, venue: Venue, settings: LabSettings, clock: Clock, say: Say) -> int:
    """Close all that is ours and ask until flat; 0 when it is.

    Raises:
        StateFileError: the journal cannot be read, or the service holds the account for too long.
    """
    from trading.funding.desk import flatten_home, trading_tools

    tools = trading_tools(home, venue, settings=settings.execution, clock=clock, environment=os.environ)
    for attempt in range(LOCK_TRIES):
        try:
            reports = await flatten_home(tools, home, why="stop_trading.py")
            break
        except StateFileError as error:
            # The running lab has seen the stop and is making everything flat itself: wait for its result.
            if "already runs" not in str(error) or attempt == LOCK_TRIES - 1:
                raise
            await clock.sleep_s(LOCK_WAIT_S)
    for report in reports:
        state = "flat" if report.is_flat else "NOT FLAT"
        dust = f", dust {report.dust_base} base" if report.dust_base else ""
        say(f"{report.symbol} {report.position_id}: {state} after {report.elapsed_s:.1f} s{dust}")
        for line in report.errors:
            say(f"  {line}")
    if not reports:
        say("nothing of this lab's was open")
    return 0 if all(report.is_flat for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
