"""The service against the sandbox, as processes: starts, trades, ends in time, and survives kill -9 at any moment."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from tests.ops.world import World, approved_carry, end, furnish, open_world, start_service, wait_for_beat
from trading.execution.intents import Intents
from trading.funding.position import SCHEMA
from trading.journal.audit import verify_audit
from trading.storage.files import read_json
from trading.storage.home import Home

LOT = 0.001
"""Of the perpetual, base."""
KILLS = 5


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = open_world(tmp_path / "tape", scale=60.0)
    yield opened
    opened.close()


@pytest.fixture
def carrying_home(tmp_path: Path, world: World) -> Home:
    home = Home(tmp_path / "home").make()
    furnish(home, world.url)
    approved_carry(home)
    return home


@pytest.fixture
def start(carrying_home: Home) -> Iterator[Callable[[], Popen[bytes]]]:
    """Starts a service in the home; none is left behind, however the test ends."""
    started: list[Popen[bytes]] = []

    def begin() -> Popen[bytes]:
        started.append(start_service(carrying_home))
        return started[-1]

    yield begin
    for service in started:
        if service.poll() is None:
            end(service, signal.SIGKILL)


def legs(world: World) -> tuple[float, float]:
    """Spot coin and perpetual position as the exchange has them, base."""
    ledger = world.ask("/sandbox/ledger")
    coins, positions = ledger["spot"], ledger["positions"]
    assert isinstance(coins, dict)
    assert isinstance(positions, list)
    btc = coins.get("BTC", {"free": 0, "locked": 0})
    return float(btc["free"]) + float(btc["locked"]), sum(float(position["quantity"]) for position in positions)


@pytest.mark.timeout(240)
def test_kill_9_at_five_random_moments_loses_nothing_and_doubles_nothing(
    world: World, carrying_home: Home, start: Callable[[], Popen[bytes]]
) -> None:
    chance = random.Random(20260121)
    for _ in range(KILLS):
        service = start()
        time.sleep(4.0 + 4.0 * chance.random())
        assert service.poll() is None, (carrying_home.logs / "service.out").read_text()[-2000:]
        end(service, signal.SIGKILL)
    began = time.time()
    service = start()
    wait_for_beat(carrying_home, service, after=began)
    assert start().wait(30) == 2, "a second service in the same home is refused"
    assert f"the lab already runs as process {service.pid}" in (carrying_home.logs / "service.out").read_text()
    until = time.time() + 60
    while time.time() < until:
        spot, perp = legs(world)
        if spot > LOT and abs(spot + perp) <= LOT and Intents(carrying_home.intents_file).unfinished() == ():
            break
        time.sleep(0.5)
    took_s = end(service)
    spot, perp = legs(world)
    assert spot > 0, "no carry was opened; " + carrying_home.log_file.read_text()[-3000:]
    assert abs(spot + perp) <= LOT, "the legs are apart"
    assert world.ask("/sandbox/seen")["duplicate_orders"] == []
    assert (took_s < 5.0, service.returncode) == (True, 0)
    positions = read_json(carrying_home.positions_file, schema=SCHEMA)
    assert positions is not None
    # An opening that a kill interrupted may have been taken back by now; what is left of it is less than a lot.
    assert bool(positions["lives"]) == (spot > LOT), f"the books say {positions['lives']}, the venue {spot}"
    check = verify_audit(carrying_home.audit_file)
    assert check.ok, check.why
