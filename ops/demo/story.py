"""The acts of the demo, in order. It drives time, plays the human, and watches; the lab does the rest by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ops.approve_strategy import approve_strategy
from ops.demo.scene import Happened, Scene
from ops.demo.screen import ActState
from ops.demo.words import on_screen
from ops.go_live import Desk, go_live
from trading.domain.clock import HOUR_MS
from trading.domain.errors import DataProviderError
from trading.domain.events import Event, Severity
from trading.strategy.lifecycle import Stage

MARKET, IDEAS, GATE, PAPER, ASK, LIVE, CARRY, FUNDING, REPORT, KILL = ACTS = (
    "Market data comes in",
    "Ideas are written",
    "The gate refuses, with reasons",
    "Paper trading on the live stream",
    "A human is asked",
    "Going live, on the sandbox",
    "A delta-neutral carry opens",
    "Funding is paid",
    "The hourly report arrives",
    "The kill file: everything flat",
)
OPERATOR = "demo (plays the human)"
SHOWN = {"idea.written", "idea.refused", "strategy.judged", "paper.trade_opened", "paper.settlement", "data.blocked"}
"""Quiet events that the demo shows too; notices and alerts are always shown."""
REPORT_HOURS = 6
"""The chat on the screen is renewed so often."""
LAST_HOURS = 2
"""Left on the tape when the kill file appears, so that there is a market to close in."""
ENTRY_HOURS = 24
"""How long the carry may wait for its entry."""
DUST_BASE = 0.001
"""Below one lot of the perpetual: what fees in coin leave over, which no order can sell."""
FLAT_PATIENCE_S = 60.0
"""Real seconds until the sandbox must say that everything is flat."""


class Story:
    """Plays the acts one after another; what was seen so far is in `seen`, whatever happens."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._lab = scene.lab
        self._screen = scene.screen
        self.seen = Happened()

    async def until_started(self) -> None:
        """Wait until the lab has its market."""
        while not self._scene.service.is_open:
            self._alive()
            await self._lab.clock.real_sleep_s(0.02)

    async def play(self) -> Happened:
        """All acts, or as many as the days allow.

        Raises:
            TradingEngineError: the sandbox or the lab failed.
        """
        with self._act(IDEAS):
            await self._until_settled("hypothesis")
        with self._act(GATE):
            await self._until_judged()
        with self._act(PAPER):
            spec_id = await self._until_review()
        if not spec_id:
            return await self._early(ASK, "nothing on paper has shown enough in these days; give it more --days")
        with self._act(ASK):
            await self._approve(spec_id)
        with self._act(LIVE):
            await self._go_live()
        with self._act(CARRY):
            await self._until_carry()
        if not self.seen.carry_opened:
            return await self._early(FUNDING, "the carry found no entry that pays for its costs in these days")
        with self._act(FUNDING):
            await self._until_last_hours()
        with self._act(REPORT):
            await self._show_report()
        with self._act(KILL):
            await self._kill()
        return self.seen

    def hear(self, event: Event) -> None:
        """What the bus calls: counts, and shows what is worth showing."""
        seen = self.seen
        if event.name == "idea.written":
            seen.ideas += 1
        elif event.name == "idea.refused":
            seen.ideas += 1
            seen.refused[str(event.facts["reason"])] += 1
        elif event.name == "strategy.judged" and event.facts["verdict"] == "REJECTED":
            seen.refused[str(event.facts["reason"])] += 1
        elif event.name == "paper.trade_closed":
            seen.paper_trades += 1
        elif event.name == "paper.settlement":
            seen.paper_settlements += 1
        elif event.name in ("job.failed", "job.parked", "job.ended_service", "cycle.failed"):
            seen.errors += 1
        if event.severity is not Severity.INFO or event.name in SHOWN:
            self._screen.event(event.at_ms, on_screen(event))

    @contextmanager
    def _act(self, name: str) -> Iterator[None]:
        self._screen.act(name, ActState.PLAYING)
        try:
            yield
        except BaseException:
            self._screen.act(name, ActState.FAILED)
            raise
        self._screen.act(name, ActState.DONE)

    async def _early(self, act: str, why: str) -> Happened:
        self._screen.act(act, ActState.FAILED, why)
        self.seen.note = why
        self.seen.is_flat = is_flat(await self._scene.sandbox.ask("/sandbox/ledger"))
        return self.seen

    async def _hour(self) -> int:
        """One more hour of the lab's life; what there is to see is noted."""
        hour_ms = await self._scene.conductor.next_hour()
        self._note(hour_ms)
        if hour_ms // HOUR_MS % REPORT_HOURS == 0:
            self._screen.report((await self._scene.sandbox.chat())[-1:])
        return hour_ms

    def _note(self, at_ms: int) -> None:
        seen, lab = self.seen, self._lab
        equity = {f"paper {position.spec_id}": position.equity_quote for position in lab.paper.positions()}
        live = lab.memory.live
        if live is not None and live.equity_quote is not None:
            equity["live (sandbox)"] = float(live.equity_quote)
        seen.curve.append((at_ms, equity))
        if live is not None:
            seen.max_unhedged_s = max(seen.max_unhedged_s, live.max_unhedged_s)
            if live.identity is not None:
                error = abs(float(live.identity.error_quote))
                seen.identity_error_quote = max(seen.identity_error_quote, error)
            if live.position is not None and live.performance is not None:
                seen.settlements = live.performance.settlements
                seen.funding_quote = float(live.performance.funding_quote)
        shown = {name: f"{value:,.2f} USDT" for name, value in equity.items()}
        shown |= {
            "ideas tried": str(lab.bench.ledger.count()),
            "refused": str(sum(seen.refused.values())),
            "settlements live": f"{seen.settlements}, {seen.funding_quote:+.4f} USDT",
        }
        self._screen.numbers(shown, lab_ms=at_ms)

    async def _until_settled(self, job: str) -> None:
        """Wait, in real time, until a job has run for the first time."""
        while not self._scene.service.schedule.has_run(job):
            self._alive()
            await self._lab.clock.real_sleep_s(0.02)
        self._note(self._lab.clock.now_ms())

    async def _until_judged(self) -> None:
        await self._until_settled("evaluation")
        while self._lab.repository.by_stage(Stage.GENERATED, Stage.BACKTESTING):
            await self._hour()

    async def _until_review(self) -> str:
        """The first strategy that waits for the human; empty when the days are over before."""
        repository = self._lab.repository
        while await self._hour() < self._last_hour_ms():
            if waiting := repository.by_stage(Stage.REVIEW):
                return waiting[0].id
            if not repository.by_stage(Stage.DRY_RUN):
                break
        return ""

    async def _approve(self, spec_id: str) -> None:
        await self._scene.conductor.walk()
        self._screen.message(await self._message(f"approve_strategy.py {spec_id}"))
        self._say("the demo plays the human: it reads the evidence and types yes")
        approve_strategy(
            self._lab.home,
            spec_id,
            ask=lambda question: self._typed(question, "yes"),
            say=lambda _line: None,
            clock=self._lab.clock,
            operator=OPERATOR,
        )
        self.seen.approved = spec_id

    async def _go_live(self) -> None:
        lab = self._lab
        if lab.account is None:
            raise DataProviderError("demo: no trading keys; the demo's own were not given to the lab")
        desk = Desk(
            lab.home,
            lab.settings,
            lab.setting.environment,
            lab.account,
            self._scene.notifier,
            lab.clock,
            OPERATOR,
        )
        armed = await go_live(desk, ask=self._answer, say=self._say_what_is_bad, read_code=self._code)
        if not armed:
            raise DataProviderError("demo: going live was not confirmed")

    def _answer(self, question: str) -> str:
        return self._typed(question, question.removeprefix("Type ").removesuffix(": "))

    async def _code(self) -> str:
        """What the human reads in the chat."""
        text = await self._message("One-time code")
        self._screen.message(text)
        found = re.search(r"live: (\d{6})", text)
        return self._typed("Type the six digits just sent to the Telegram chat: ", found.group(1) if found else "")

    async def _until_carry(self) -> None:
        for _ in range(ENTRY_HOURS):
            await self._hour()
            live = self._lab.memory.live
            if live is not None and live.position is not None and live.performance is not None:
                self.seen.carry_opened = live.performance.spot_base > 0 and live.performance.perp_base < 0
            if self.seen.carry_opened:
                return

    async def _until_last_hours(self) -> None:
        while await self._hour() < self._last_hour_ms():
            self._alive()

    async def _show_report(self) -> None:
        self._screen.message(await self._message("Hourly Report"))

    async def _kill(self) -> None:
        lab = self._lab
        await self._scene.conductor.trade_pace()
        kill_file = lab.home.kill_files[0]
        kill_file.write_text("the demo's kill file\n")
        self._say(f"the kill file appears: {kill_file.name}")
        started_s = lab.clock.real_s()
        while not self.seen.is_flat:
            if lab.clock.real_s() - started_s > FLAT_PATIENCE_S:
                raise DataProviderError(f"demo: not flat {FLAT_PATIENCE_S:.0f} s after the kill file")
            await self._lab.clock.real_sleep_s(0.1)
            self._alive()
            self.seen.is_flat = await self._is_flat()
        if lab.memory.live is not None:
            self.seen.flat_s = lab.memory.live.flat_s
        self._note(lab.clock.now_ms())
        self._screen.message(await self._message("Everything is flat"), below=True)

    async def _is_flat(self) -> bool:
        """What the exchange itself says, and the lab's own books."""
        live = self._lab.memory.live
        if live is None or live.position is not None:
            return False
        ledger = await self._scene.sandbox.ask("/sandbox/ledger")
        return is_flat(ledger)

    async def _message(self, words: str) -> str:
        """The newest message in the sandbox's Telegram chat that contains these words."""
        for _ in range(200):
            texts = [str(message["text"]) for message in await self._scene.sandbox.chat()]
            if found := [text for text in texts if words in text]:
                return found[-1]
            await self._lab.clock.real_sleep_s(0.05)
        raise DataProviderError(f"demo: no message with {words!r} reached the sandbox's Telegram")

    def _typed(self, question: str, answer: str) -> str:
        self._say(f"{question}{answer}")
        return answer

    def _say(self, text: str) -> None:
        self._screen.event(self._lab.clock.now_ms(), text)

    def _say_what_is_bad(self, text: str) -> None:
        """Of what a human would read at the terminal, what stands in the way."""
        for line in text.splitlines():
            if line.startswith("BAD"):
                self._say(line)

    def _alive(self) -> None:
        if self._scene.service.has_ended:
            raise DataProviderError(f"demo: the service ended; see {self._lab.home.log_file}")

    def _last_hour_ms(self) -> int:
        return self._scene.market.end_ms - LAST_HOURS * HOUR_MS


def is_flat(ledger: dict[str, object]) -> bool:
    """Whether the sandbox's ledger shows no position, no order, and of coins no more than a lot's dust."""
    coins = ledger.get("spot")
    held = (
        {asset: float(row["free"]) + float(row["locked"]) for asset, row in coins.items()}
        if isinstance(coins, dict)
        else {}
    )
    dust = all(amount < DUST_BASE for asset, amount in held.items() if asset != "USDT")
    return not ledger.get("positions") and not ledger.get("open_orders") and dust
