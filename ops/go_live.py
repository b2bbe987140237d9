"""The second gate to real money: `python go_live.py`.

Needs an approved strategy, `LIVE_TRADING=YES`, keys that may trade but not withdraw, and a green doctor. Shows the
limits, then asks `CONFIRM`, `I UNDERSTAND THE RISKS`, and the one-time code it has just sent to the Telegram chat. The
code is bound to the spec's hash and lives five minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ai_brain.evidence.filing import load_evidence, tables_match
from ops.doctor.checks import is_green, key_checks, machine_checks, screen, settings_checks, venue_checks
from ops.doctor.feasibility import feasibility_check
from ops.drill.filed import FRESH_DAYS, read_drills, standing
from ops.environment import Environment, caller, find_home, read_environment
from ops.lab_clock import lab_clock
from ops.listener import outlive_reader
from ops.logs import set_up_logs
from ops.service.wiring import open_notifier
from ops.settings import LabSettings, read_settings
from ops.venues import make_venue
from trading.domain.clock import Clock
from trading.domain.errors import SpecError, TradingEngineError
from trading.domain.venue import Venue
from trading.notify.message import Message, Notifier
from trading.risk.arming import approval_key, armed_records, write_armed
from trading.risk.kill_switch import read_stop
from trading.storage.home import Home
from trading.strategy.approval import verify
from trading.strategy.lifecycle import APPROVAL_LIFE_DAYS, Stage, has_lapsed, move, standing_approval
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import CarryParameters, StrategySpec, spec_sha256

PHRASES = ("CONFIRM", "I UNDERSTAND THE RISKS")
CODE_LIFE_S = 300.0
Ask = Callable[[str], str]
Say = Callable[[str], None]
ReadCode = Callable[[], Awaitable[str]]
"""Returns what the human typed from the Telegram chat."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What going live needs from outside."""

    home: Home
    settings: LabSettings
    environment: Environment
    venue: Venue
    notifier: Notifier
    clock: Clock
    operator: str
    wanted: str = ""
    """Id of the strategy to arm; empty: the one that was approved last."""


def main(words: Sequence[str] | None = None) -> int:
    """The command line: 0 live, 1 not confirmed, 2 refused."""
    parser = argparse.ArgumentParser(prog="go_live.py", description="The second gate to real money.")
    parser.add_argument("id", nargs="?", default="", help="the strategy; without it, the one that was approved last")
    options = parser.parse_args(words)
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        return 0 if asyncio.run(_from_command_line(options.id)) else 1
    except TradingEngineError as error:
        print(f"go_live.py: {error}", file=sys.stderr)
        return 2
    except (EOFError, KeyboardInterrupt):
        print("\nnot confirmed; nothing was changed", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(*_: object) -> None:
    """At once: asyncio's own way only cancels, which an open question does not notice."""
    raise KeyboardInterrupt


async def _from_command_line(wanted: str) -> bool:
    home = find_home()
    environment, settings = read_environment(home), read_settings(home.settings_file)
    clock = lab_clock(settings)
    set_up_logs(home.make().log_file, clock=clock, secrets=environment.secret_values(), to_console=False)
    venue = make_venue(settings, environment, clock)
    try:
        async with open_notifier(environment, settings) as notifier:
            desk = Desk(home, settings, environment, venue, notifier, clock, caller(), wanted)
            return await go_live(desk, ask=input, say=print, read_code=code_from_keyboard)
    finally:
        await venue.close()


async def code_from_keyboard() -> str:
    """Ask at the terminal."""
    # Nothing else runs meanwhile, and a thread would keep an interrupted command alive until Enter.
    return input("Type the six digits just sent to the Telegram chat: ")  # noqa: ASYNC250


async def go_live(desk: Desk, *, ask: Ask, say: Say, read_code: ReadCode) -> bool:
    """Check, show, ask, arm.

    Returns:
        True: the strategy is armed; False: the human did not confirm, nothing was changed.

    Raises:
        SpecError: nothing to arm, or its approval is void.
        TradingEngineError: a check that must be green is not; says which and what to do.
    """
    spec = approved_strategy(desk)
    await check_everything(desk, say)
    for line in (*limits_in_words(desk.settings, spec), *not_rehearsed(desk)):
        say(line)
    for phrase in PHRASES:
        if ask(f"Type {phrase}: ").strip() != phrase:
            say("Not confirmed. Nothing was changed.")
            return False
    if not await _code_matches(desk, spec, read_code):
        say("The code is wrong or older than five minutes. Nothing was changed.")
        return False
    if spec_sha256(approved_strategy(desk)) != spec_sha256(spec):
        raise SpecError(f"{spec.id}: another strategy was approved while you answered; nothing was changed, begin anew")
    check_no_stop(desk)
    keeps_others = desk.settings.risk.max_positions > 1
    write_armed(desk.home, spec, operator=desk.operator, at_ms=desk.clock.now_ms(), keeps_others=keeps_others)
    if spec.stage is Stage.REVIEW:
        why = "armed by go_live.py"
        live = move(spec, Stage.LIVE_TESTING, by=desk.operator, why=why, at_ms=desk.clock.now_ms())
        StrategyRepository(desk.home.strategies).save(live)
    say(f"{spec.id} is live. The next cycle may open a position. To stop everything: python stop_trading.py")
    if others := [record.strategy_id for record in armed_records(desk.home) if record.strategy_id != spec.id]:
        say(f"Armed beside it: {', '.join(others)}. risk.max_positions is {desk.settings.risk.max_positions}.")
    return True


def approved_strategy(desk: Desk) -> StrategySpec:
    """The carry that was asked for, else the one approved last, validly signed.

    Raises:
        SpecError: none is, or the signature does not stand.
    """
    repository = StrategyRepository(desk.home.strategies)
    stages = (Stage.REVIEW, Stage.LIVE_TESTING, Stage.SCALING)
    approved = [spec for spec in repository.by_stage(*stages) if spec.approved_at is not None]
    if not approved:
        raise SpecError("no approved strategy; see python get_status.py --pending, then python approve_strategy.py ID")
    if desk.wanted and not (approved := [spec for spec in approved if spec.id == desk.wanted]):
        raise SpecError(f"{desk.wanted}: is not an approved strategy; see python get_status.py --pending")
    carries = [spec for spec in approved if isinstance(spec.parameters, CarryParameters)]
    if not carries:
        spec = approved[-1]
        raise SpecError(f"{spec.id}: type={spec.type}: only a funding carry can trade live; this one stays on paper")
    spec = max(carries, key=lambda carry: (carry.approved_at or "", carry.id))
    verdict = verify(spec, approval_key(desk.home, create=False))
    if not verdict.allowed:
        raise SpecError(verdict.note)
    if has_lapsed(spec, desk.clock.now_ms()):
        raise SpecError(
            f"{spec.id}: approved {spec.approved_at}, more than {APPROVAL_LIFE_DAYS} days ago: read the evidence and "
            f"sign anew: python approve_strategy.py {spec.id}"
        )
    check_evidence(desk.home, spec)
    return spec


def check_evidence(home: Home, spec: StrategySpec) -> None:
    """The evidence on disk is what the approval signed.

    Raises:
        SpecError: it is gone, or another.
    """
    evidence, approval = load_evidence(home, spec.id), standing_approval(spec.history)
    signed = approval.evidence_sha256 if approval is not None else ""
    if evidence is None or evidence.evidence_sha256 != signed or not tables_match(home, evidence):
        found = "gone" if evidence is None else "not what was signed"
        raise SpecError(
            f"{spec.id}: its evidence in {home.state / 'evidence'} is {found}: restore it from a backup, or retire the "
            "strategy and let the idea be tested anew"
        )


async def check_everything(desk: Desk, say: Say) -> None:
    """The first gate, the keys, the machine, the limits.

    Raises:
        TradingEngineError: something is not as it must be; the screen was shown.
    """
    environment = desk.environment
    check_no_stop(desk)
    if not environment.live_trading:
        raise TradingEngineError("LIVE_TRADING is not YES: the first gate is shut; set LIVE_TRADING=YES in .env")
    if environment.binance_api_key is None:
        raise TradingEngineError("no trading keys; set BINANCE_API_KEY and BINANCE_API_SECRET in .env")
    if environment.telegram_token is None:
        raise TradingEngineError("no TELEGRAM_TOKEN: the one-time code has nowhere to go; set it in .env")
    checks = machine_checks(desk.home) + settings_checks(desk.home, environment, desk.clock)
    checks += await venue_checks(desk.venue, desk.clock, with_keys=False)
    checks += await key_checks(desk.venue, desk.clock, testnet=environment.binance_testnet)
    if is_green(checks):
        checks.append(await feasibility_check(desk.settings, desk.venue))
    say(screen(checks))
    if not is_green(checks):
        raise TradingEngineError("the doctor is not green; mend what is BAD above, then try again")


def check_no_stop(desk: Desk) -> None:
    """Nobody goes live into a stop, nor into one that was thrown while the human typed.

    Raises:
        TradingEngineError: one is in force.
    """
    stop = read_stop(desk.home, os.environ)
    if desk.environment.kill or stop.blocks_entries:
        source = stop.source or "KILL=1 in .env"
        raise TradingEngineError(f"{source}: a stop is in force; take it back first: python stop_trading.py --release")


def limits_in_words(settings: LabSettings, spec: StrategySpec) -> list[str]:
    """What may be lost, in plain numbers."""
    risk = settings.risk
    return [
        f"{spec.id}: {spec.name}, spec {spec_sha256(spec)[:16]}",
        f"At most {risk.first_live_usdt:,.0f} USDT or {risk.first_live_pct:g} % of equity, of which "
        f"{risk.live_scale_pct} % at first; leverage {risk.leverage}; "
        f"{risk.max_positions} position{'s' if risk.max_positions > 1 else ''}.",
        f"No new position after {risk.daily_loss_pct:g} % loss in a day or {risk.weekly_loss_pct:g} % in a week; "
        f"everything closed at {risk.drawdown_exit_pct:g} % from the peak.",
        f"One file stops it all: touch {'state/KILL_SWITCH'}, or python stop_trading.py.",
    ]


def not_rehearsed(desk: Desk) -> list[str]:
    """A warning before the phrases, where the ways out were not rehearsed lately; the gate does not refuse for it."""
    found = standing(read_drills(desk.home), now_ms=desk.clock.system_ms())
    if found.is_fresh:
        return []
    return [
        f"WARNING: stop, crash, a failed leg and a lost key have not all passed a rehearsal in {FRESH_DAYS} days "
        f"({found.words}). Rehearse before you go on: ./lab drill"
    ]


async def _code_matches(desk: Desk, spec: StrategySpec, read_code: ReadCode) -> bool:
    code = f"{secrets.randbelow(10**6):06d}"
    until_s = desk.clock.real_s() + CODE_LIFE_S
    text = f"🔑 One-time code to take {spec.id} live: {code}\nSpec {spec_sha256(spec)[:16]}; five minutes."
    await desk.notifier.send(Message("code", text))
    answer = (await read_code()).strip()
    return desk.clock.real_s() <= until_s and hmac.compare_digest(answer.encode(), code.encode())


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main())
