"""The way to real money, walked on the sandbox: every command that a careful person types, and what its screen says.

`test_going_live.py` holds `docs/going-live.md` against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
import typer

import sandbox.telegram
from ops import approve_strategy, get_status, go_live, stop_trading
from ops.cli import app
from ops.environment import read_environment
from ops.lab_clock import lab_clock
from ops.settings import read_settings
from ops.telling.messages import Messenger
from ops.venues import make_venue
from tests.ops.papers import put, put_in_review
from tests.ops.test_approve_and_go_live import code_in_chat
from tests.ops.world import World, furnish
from trading.funding.cycle_base import Carry
from trading.funding.desk import CarryDesk, DeskSettings
from trading.journal.bus import Bus
from trading.notify.console import Console
from trading.notify.outbox import Outbox
from trading.risk.arming import read_armed
from trading.risk.kill_switch import read_stop
from trading.storage.home import Home
from trading.strategy.lifecycle import Stage
from trading.strategy.repository import StrategyRepository

LIVE_KEYS = (
    "BINANCE_API_KEY=sandbox-key\nBINANCE_API_SECRET=sandbox-secret\n"
    f"TELEGRAM_TOKEN={sandbox.telegram.TOKEN}\nTELEGRAM_CHAT_ID=42\n"
)


@dataclass
class Walk:
    """A home on the way, and what was seen: name of the screen -> its text."""

    home: Home
    world: World
    screens: dict[str, str] = field(default_factory=dict)

    def type(self, name: str, command: str, work: Callable[[], object], *answers: str) -> None:
        """Type a command and keep its screen, answers included."""
        out, left = io.StringIO(), iter(answers)

        def answer(question: str = "") -> str:
            said = next(left, None)
            print(question + ("######" if said is None else said))
            return code_in_chat(self.world) if said is None else said

        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), pytest.MonkeyPatch.context() as patch:
            patch.setattr("builtins.input", answer)
            with contextlib.suppress(typer.Exit, SystemExit):
                work()
        text = out.getvalue().replace(f"{self.home.root}/", "").rstrip()
        self.screens[name] = f"$ {command}\n{text}"

    def lab(self, name: str, *words: str) -> None:
        """`./lab WORDS`."""
        self.type(name, " ".join(("./lab", *words)), lambda: app(list(words), standalone_mode=False))

    def env(self, *more: str) -> None:
        """Write `.env`: the keys, and these lines."""
        self.home.env_file.write_text(LIVE_KEYS + "".join(f"{line}\n" for line in more))

    def service(self, **cycles: Callable[[], None]) -> None:
        """What the service does once a minute with what is armed, and its messages.

        Args:
            cycles: Name of the screen -> what happens before that cycle.
        """
        asyncio.run(self._service(cycles))

    async def _service(self, cycles: Mapping[str, Callable[[], None]]) -> None:
        home, settings = self.home, read_settings(self.home.settings_file)
        clock, outbox, bus = lab_clock(settings), Outbox(self.home.outbox), Bus()
        bus.subscribe(Messenger(outbox, clock, is_synthetic=False, wake=lambda: None).hear)
        venue = make_venue(settings, read_environment(home), clock, home)
        rooms = DeskSettings(settings.carry, settings.risk, settings.execution)
        try:
            desk = CarryDesk(home, venue, settings=rooms, publish=bus.publish, clock=clock, environment={})
            for name, happens in cycles.items():
                happens()
                if stop_trading.release_request(home).exists():
                    desk.release_halts()
                    stop_trading.release_request(home).unlink()
                (spec,) = StrategyRepository(home.strategies).by_stage(Stage.LIVE_TESTING)
                await desk.cycle([Carry(spec, read_armed(home, spec).allowed)], stop=read_stop(home, {}))
                out = io.StringIO()
                await outbox.drain(Console(out), clock)
                self.screens[name.replace("_", "-")] = out.getvalue().strip()
        finally:
            await venue.close()


def walk(home: Home, world: World) -> dict[str, str]:
    """All of it, in order."""
    way = Walk(home, world)
    furnish(home, world.url)
    home.settings_file.write_text(home.settings_file.read_text().replace("maker_budget_s: 20", "maker_budget_s: 1"))
    _keys(way)
    _demo_and_drill(way)
    _two_gates(way)
    _first_carry(way)
    _stops(way)
    return way.screens


def _keys(way: Walk) -> None:
    way.env()
    put(way.world, "/sandbox/key", {"withdrawals": True, "ip_restricted": False})
    way.lab("key-too-strong", "doctor")
    put(way.world, "/sandbox/key", {"withdrawals": False, "ip_restricted": True})


def _demo_and_drill(way: Walk) -> None:
    way.lab("drill-refused", "drill", "--venue", "demo")
    way.env("BINANCE_TESTNET=true")
    way.lab("demo-doctor", "doctor")
    way.lab("demo-drill", "drill", "--venue", "demo", "--only", "key")
    way.home.lock_file.unlink()  # it names the drill's process, which is this one and lives on
    way.env()
    way.lab("live-doctor", "doctor")


def _two_gates(way: Walk) -> None:
    spec = put_in_review(way.home)
    way.type("pending", "python get_status.py --pending", lambda: get_status.main(["--pending"]))
    way.type(
        "approve", f"python approve_strategy.py {spec.id[:11]}", lambda: approve_strategy.main([spec.id[:11]]), "yes"
    )
    way.type("signed", "python get_status.py", lambda: get_status.main([]))
    way.type("gate-shut", "python go_live.py", lambda: go_live.main([]))
    way.env("LIVE_TRADING=YES")
    way.type("gate-no", "python go_live.py", lambda: go_live.main([]), "CONFIRM", "yes, of course")
    way.type("gate", "python go_live.py", lambda: go_live.main([]), *go_live.PHRASES)


def _first_carry(way: Walk) -> None:
    def key(*, revoked: bool) -> None:
        put(way.world, "/sandbox/key", {"revoked": revoked})

    way.service(
        opened=lambda: None,
        key_lost=lambda: key(revoked=True),
        key_back=lambda: key(revoked=False),
        halted=lambda: put(way.world, "/sandbox/deposit", {"usdt": "500"}),
    )
    way.type("released", "python stop_trading.py --release", lambda: stop_trading.main(["--release"]))
    way.service(goes_on=lambda: None)


def _stops(way: Walk) -> None:
    way.home.pause_file.touch()
    way.type("paused", "touch state/PAUSED; python get_status.py", lambda: get_status.main([]))
    keeping = ["--keep-positions", "--why", "I want to look at it first"]
    words = "--keep-positions --why 'I want to look at it first'"
    way.type("kept", f"python stop_trading.py {words}", lambda: stop_trading.main(keeping))
    way.type("stopped", "python stop_trading.py", lambda: stop_trading.main([]))
    way.type("stays", "python get_status.py", lambda: get_status.main([]))
    way.type("let-go", "python stop_trading.py --release", lambda: stop_trading.main(["--release"]))


def stable(text: str) -> str:
    """Without what changes from run to run or with the machine: numbers, hashes, times, the machine's own."""
    text = re.sub(r"^(ok|warn|BAD) +(version|swap|time sync) .*\n(?: +-> .*\n)?", "", text, flags=re.MULTILINE)
    text = re.sub(r"\bid m-\d+", "id #", text)
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "#", text)
    text = re.sub(r"\b\d{4}-\d\d-\d\dT[\d:]+Z|\b\d\d:\d\d UTC", "#", text)
    text = re.sub(r"in \d+ ms|(?<=python             )[\d.]+", "#", text)
    text = re.sub(r"[-+−]?\d[\d,]*\.\d+", "#", text)
    return re.sub(r" +", " ", text)
