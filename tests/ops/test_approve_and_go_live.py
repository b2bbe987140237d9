"""The two gates to real money: nothing passes but what was tested, signed and confirmed, and any change shuts them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

import sandbox.telegram
from ai_brain.evidence.verdict import Verdict
from ops import go_live as gate
from ops.approve_strategy import approve_strategy
from ops.drill.filed import REHEARSALS, Drill, file_drill
from ops.environment import Environment
from ops.go_live import PHRASES, Desk, go_live
from ops.service.wiring import open_notifier
from ops.settings import LabSettings, TelegramSettings, VenueSettings
from ops.stop_trading import release
from ops.venues import make_venue
from tests.ops.papers import Human, carry_in, evidence_of, file_of, no_faults, put, put_in_review
from tests.ops.world import NOW_MS, World, furnish
from trading.domain.clock import DAY_MS, Clock, parse_iso
from trading.domain.decisions import Reason
from trading.domain.errors import NotifierError, SpecError, TradingEngineError
from trading.risk.arming import approval_key, disarm, read_armed
from trading.risk.kill_switch import stop_trading
from trading.risk.limits import RiskLimits
from trading.storage.home import Home
from trading.strategy.approval import verify
from trading.strategy.lifecycle import Stage
from trading.strategy.repository import StrategyRepository
from trading.strategy.spec import StrategySpec, with_performance

CLOCK = Clock(origin_ms=NOW_MS)
RIGHT = list(PHRASES)


def approved(home: Home, spec: StrategySpec, *answers: str) -> StrategySpec | None:
    """What `approve_strategy.py` does with these answers."""
    human = Human(answers or ("yes",))
    return approve_strategy(home, spec.id, ask=human.ask, say=human.say, clock=CLOCK, operator="ada")


# --- the first signature


def test_yes_signs_exactly_what_was_shown(home: Home) -> None:
    spec = put_in_review(home)
    human = Human(["yes"])
    signed = approve_strategy(home, spec.id, ask=human.ask, say=human.say, clock=CLOCK, operator="ada")
    assert signed is not None
    stored = StrategyRepository(home.strategies).get(spec.id)
    assert stored == signed
    assert verify(stored, approval_key(home, create=False)).allowed
    assert file_of(home, spec).parent.name == "active"
    assert stored.stage is Stage.REVIEW, "an approval alone trades nothing"
    evidence = evidence_of(spec)
    for words in ("longs pay shorts", "net at double cost", evidence.evidence_sha256, evidence.spec_sha256, "Risks"):
        assert words in human.page
    assert (home.state / "approval.key").stat().st_mode & 0o777 == 0o600


def test_a_question_that_waited_for_weeks_says_that_its_paper_ended_then(home: Home) -> None:
    spec = put_in_review(home)
    shown = {"net_return": 0.001, "mean_low": -1e-4, "mean_high": 2e-4, "trades": 0, "settlements": 30, "results": 30}
    StrategyRepository(home.strategies).save(with_performance(spec, "dry_run", {**shown, "hours": 240.0}))
    asked_ms = parse_iso(spec.history[-1].at)
    for days, is_old in ((6, False), (42, True)):
        human = Human(["no"])
        clock = Clock(origin_ms=asked_ms + days * DAY_MS)
        approve_strategy(home, spec.id, ask=human.ask, say=human.say, clock=clock, operator="ada")
        told = f"Paper ended when you were asked, {spec.history[-1].at[:10]}: what the market did in 42 days since"
        assert (told in human.page) is is_old


@pytest.mark.parametrize("answer", ["", "y", "Yes", "YES", "no", "yes please"])
def test_anything_but_yes_changes_nothing(home: Home, answer: str) -> None:
    spec = put_in_review(home)
    before = file_of(home, spec).read_bytes()
    assert approved(home, spec, answer) is None
    assert file_of(home, spec).read_bytes() == before
    assert not (home.state / "approval.key").exists()


def test_the_beginning_of_an_id_is_enough_when_it_is_the_only_one(home: Home) -> None:
    spec, other = put_in_review(home, number=0xA1), put_in_review(home, number=0xB2)
    human = Human(["yes"])
    signed = approve_strategy(home, spec.id[:-1], ask=human.ask, say=human.say, clock=CLOCK, operator="ada")
    assert signed is not None
    assert signed.id == spec.id
    with pytest.raises(SpecError, match=f"{spec.id}.*{other.id}"):
        approve_strategy(home, "fc-", ask=human.ask, say=human.say, clock=CLOCK, operator="ada")


def test_an_unknown_id_lists_the_known_ones(home: Home) -> None:
    spec = put_in_review(home)
    with pytest.raises(SpecError, match=spec.id):
        approve_strategy(home, "mr-19990101", ask=Human([]).ask, say=print, clock=CLOCK, operator="ada")


def test_what_is_not_in_review_is_refused(home: Home) -> None:
    spec = carry_in(Stage.DRY_RUN)
    StrategyRepository(home.strategies).save(spec)
    with pytest.raises(SpecError, match="stage=dry_run: only a strategy in review"):
        approved(home, spec)


def test_what_was_never_judged_is_refused(home: Home) -> None:
    spec = carry_in(Stage.REVIEW)
    StrategyRepository(home.strategies).save(spec)
    with pytest.raises(SpecError, match="no evidence"):
        approved(home, spec)


@pytest.mark.parametrize("verdict", [Verdict.REJECTED, Verdict.CAUTION])
def test_what_failed_its_gate_is_refused_whatever_the_human_says(home: Home, verdict: Verdict) -> None:
    spec = put_in_review(home, verdict=verdict)
    with pytest.raises(SpecError, match=f"verdict={verdict}: it failed its gate"):
        approved(home, spec)


def test_evidence_of_other_parameters_is_refused(home: Home) -> None:
    spec = put_in_review(home)
    path = file_of(home, spec)
    path.write_text(path.read_text().replace('"entry_apr_pct": 1', '"entry_apr_pct": 2'))
    with pytest.raises(SpecError, match="the evidence is of another spec"):
        approved(home, spec)


@pytest.mark.parametrize("tamper", [lambda path: path.write_bytes(b"made up\n"), Path.unlink])
def test_a_changed_or_missing_table_of_trades_is_refused(home: Home, tamper: object) -> None:
    spec = put_in_review(home)
    assert callable(tamper)
    tamper(home.state / "evidence" / f"{spec.id}.trades.csv")
    with pytest.raises(SpecError, match="its tables of trades are not those it was judged on"):
        approved(home, spec)


def test_nothing_is_approved_twice(home: Home) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    with pytest.raises(SpecError, match="already approved"):
        approved(home, spec)


def test_one_parameter_changed_afterwards_voids_the_approval(home: Home) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    path = file_of(home, spec)
    path.write_text(path.read_text().replace('"capital_pct": 90', '"capital_pct": 91'))
    verdict = verify(StrategyRepository(home.strategies).get(spec.id), approval_key(home, create=False))
    assert not verdict.allowed
    assert verdict.reason is Reason.APPROVAL_VOID


def test_the_command_line_refuses_in_one_line(home: Home) -> None:
    words = [sys.executable, "-m", "ops.approve_strategy", "fc-2099"]
    done = subprocess.run(
        words, env={**os.environ, "LAB_HOME": str(home.root)}, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("approve_strategy.py: ")
    assert done.stderr.count("\n") == 1


# --- the second gate


@pytest.fixture
def key_as_it_should_be(world: World) -> Iterator[None]:
    yield
    put(world, "/sandbox/key", {"withdrawals": False, "ip_restricted": True})


KEYS = Environment(
    telegram_token=SecretStr(sandbox.telegram.TOKEN),
    telegram_chat_id="42",
    gemini_api_key=None,
    binance_api_key=SecretStr("sandbox-key"),
    binance_api_secret=SecretStr("sandbox-secret"),
    binance_testnet=False,
    live_trading=True,
    kill=False,
)


@asynccontextmanager
async def desk_in(
    home: Home, world: World, *, environment: Environment = KEYS, risk: RiskLimits | None = None
) -> AsyncIterator[Desk]:
    """A desk whose exchange and Telegram are the sandbox's."""
    settings = LabSettings(
        venue=VenueSettings(base_url=world.url),
        telegram=TelegramSettings(base_url=world.url),
        risk=risk or RiskLimits(),
    )
    now_ms = int(str(world.ask("/sandbox/clock")["now_ms"]))
    clock = Clock(origin_ms=now_ms)
    venue = make_venue(settings, environment, clock)
    try:
        async with open_notifier(environment, settings) as notifier:
            yield Desk(home, settings, environment, venue, notifier, clock, "ada")
    finally:
        await venue.close()


def code_in_chat(world: World) -> str:
    """The newest code in the sandbox's Telegram chat."""
    texts = [str(message["text"]) for message in httpx.get(f"{world.url}/sandbox/telegram").json()]
    found = [match.group(1) for text in texts if (match := re.search(r"live: (\d{6})", text))]
    return found[-1]


async def ask_to_go_live(desk: Desk, world: World, human: Human, *, code: str | None = None) -> bool:
    async def read_code() -> str:
        return code_in_chat(world) if code is None else code

    return await go_live(desk, ask=human.ask, say=human.say, read_code=read_code)


def nothing_armed(home: Home) -> bool:
    return not home.armed_file.exists() and not any(
        spec.stage is Stage.LIVE_TESTING for spec in StrategyRepository(home.strategies).all()
    )


async def test_right_answers_arm_exactly_the_approved_spec(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    human = Human(RIGHT)
    async with desk_in(home, world) as desk:
        assert await ask_to_go_live(desk, world, human)
    live = StrategyRepository(home.strategies).get(spec.id)
    assert live.stage is Stage.LIVE_TESTING
    assert read_armed(home, live).allowed
    assert [question.removeprefix("Type ").removesuffix(": ") for question in human.asked] == RIGHT
    for words in (
        "1,000 USDT",
        "10 % of equity",
        "25 %",
        "leverage 1",
        "KILL_SWITCH",
        "trade only, bound to an address",
    ):
        assert words in human.page
    path = file_of(home, spec)
    path.write_text(path.read_text().replace('"capital_pct": 90', '"capital_pct": 91'))
    changed = read_armed(home, StrategyRepository(home.strategies).get(spec.id))
    assert (changed.allowed, changed.reason) == (False, Reason.APPROVAL_VOID)


def test_the_command_asks_at_the_terminal_and_goes_by_the_sandbox_clock(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    furnish(home, world.url)
    monkeypatch.setenv("LAB_HOME", str(home.root))
    assert gate.main([]) == 2
    assert "no TELEGRAM_TOKEN" in capsys.readouterr().err
    keys = home.env_file.read_text() + f"TELEGRAM_TOKEN={sandbox.telegram.TOKEN}\nTELEGRAM_CHAT_ID=42\n"
    home.env_file.write_text(keys)
    answers = iter(RIGHT)
    monkeypatch.setattr("builtins.input", lambda _: next(answers, None) or code_in_chat(world))
    assert gate.main([]) == 0
    assert read_armed(home, StrategyRepository(home.strategies).get(spec.id)).allowed
    out = capsys.readouterr().out
    assert f"{spec.id} is live" in out
    assert sandbox.telegram.TOKEN not in out
    assert code_in_chat(world) not in out


async def test_an_arming_written_by_hand_is_void(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    async with desk_in(home, world) as desk:
        await ask_to_go_live(desk, world, Human(RIGHT))
    armed = json.loads(home.armed_file.read_text())
    armed["armed"][0]["operator"] = "mallory"
    home.armed_file.write_text(json.dumps(armed))
    decision = read_armed(home, StrategyRepository(home.strategies).get(spec.id))
    assert (decision.allowed, decision.reason) == (False, Reason.APPROVAL_VOID)


async def test_a_released_stop_leaves_nothing_armed(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    async with desk_in(home, world) as desk:
        await ask_to_go_live(desk, world, Human(RIGHT))
    stop_trading(home, by="ada", why="test", at_ms=NOW_MS, keep_positions=True)
    said: list[str] = []
    assert release(home, said.append) == 0
    assert any("no longer armed" in line for line in said)
    decision = read_armed(home, StrategyRepository(home.strategies).get(spec.id))
    assert (decision.allowed, decision.reason) == (False, Reason.NOT_ARMED)


async def test_of_two_approved_strategies_the_one_signed_last_is_armed(home: Home, world: World) -> None:
    first, second = put_in_review(home, number=0xB2), put_in_review(home, number=0xA1)
    approved(home, first)
    human = Human(["yes"])
    later = Clock(origin_ms=CLOCK.now_ms() + 60_000)
    approve_strategy(home, second.id, ask=human.ask, say=human.say, clock=later, operator="ada")
    async with desk_in(home, world) as desk:
        assert await ask_to_go_live(desk, world, Human(RIGHT))
    assert read_armed(home, StrategyRepository(home.strategies).get(second.id)).allowed
    assert StrategyRepository(home.strategies).get(first.id).stage is Stage.REVIEW


async def test_with_room_for_two_a_second_is_armed_beside_the_first_and_each_is_disarmed_by_itself(
    home: Home, world: World
) -> None:
    first, second = put_in_review(home, number=0xB2), put_in_review(home, number=0xA1)
    for spec in (first, second):
        approved(home, spec)
    human = Human(RIGHT)
    async with desk_in(home, world) as desk:
        roomy = desk.settings.model_copy(update={"risk": desk.settings.risk.model_copy(update={"max_positions": 2})})
        for spec in (first, second):
            human = Human(RIGHT)
            assert await ask_to_go_live(replace(desk, settings=roomy, wanted=spec.id), world, human)
        with pytest.raises(SpecError, match="nobody: is not an approved strategy"):
            await ask_to_go_live(replace(desk, wanted="nobody"), world, Human(RIGHT))
    assert f"Armed beside it: {first.id}. risk.max_positions is 2." in human.page
    repository = StrategyRepository(home.strategies)
    assert all(read_armed(home, repository.get(spec.id)).allowed for spec in (first, second))
    assert disarm(home, first.id)
    assert not disarm(home, first.id)
    assert read_armed(home, repository.get(first.id)).reason is Reason.NOT_ARMED
    assert read_armed(home, repository.get(second.id)).allowed
    assert disarm(home, second.id)
    assert not home.armed_file.exists()


async def test_an_arming_from_before_there_could_be_several_still_stands(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    async with desk_in(home, world) as desk:
        await ask_to_go_live(desk, world, Human(RIGHT))
    (record,) = json.loads(home.armed_file.read_text())["armed"]
    home.armed_file.write_text(json.dumps({"schema": 1, **record}))
    assert read_armed(home, StrategyRepository(home.strategies).get(spec.id)).allowed


async def test_nothing_approved_is_refused_with_what_to_do(home: Home, world: World) -> None:
    put_in_review(home)
    async with desk_in(home, world) as desk:
        with pytest.raises(SpecError, match=r"no approved strategy.*approve_strategy\.py"):
            await ask_to_go_live(desk, world, Human(RIGHT))


async def test_an_approval_that_is_void_is_refused(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    path = file_of(home, spec)
    path.write_text(path.read_text().replace('"leverage": 1', '"leverage": 2'))
    async with desk_in(home, world) as desk:
        with pytest.raises(SpecError, match="does not fit"):
            await ask_to_go_live(desk, world, Human(RIGHT))
    assert nothing_armed(home)


@pytest.mark.parametrize("change", ["gone", "other numbers", "other trades"])
async def test_evidence_that_is_not_what_was_signed_is_refused(home: Home, world: World, change: str) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    folder = home.state / "evidence"
    file = next(folder.rglob(f"{spec.id}*.json"))
    if change == "gone":
        file.unlink()
    elif change == "other numbers":
        file.write_text(file.read_text().replace("0.012", "0.112"))
    else:
        table = next(path for path in folder.rglob("*.csv"))
        table.write_bytes(table.read_bytes() + b"1,2,99\n")
    async with desk_in(home, world) as desk:
        with pytest.raises(SpecError, match=r"its evidence in .* is (gone|not what was signed)"):
            await ask_to_go_live(desk, world, Human(RIGHT))
    assert nothing_armed(home)


async def test_an_approval_that_was_not_used_for_a_month_is_signed_anew(home: Home, world: World) -> None:
    spec, human = put_in_review(home), Human(["yes"])
    old = Clock(origin_ms=CLOCK.now_ms() - 31 * 86_400_000)
    approve_strategy(home, spec.id, ask=human.ask, say=human.say, clock=old, operator="ada")
    async with desk_in(home, world) as desk:
        with pytest.raises(SpecError, match="more than 30 days ago: read the evidence and sign anew"):
            await ask_to_go_live(desk, world, Human(RIGHT))
        assert approved(home, spec) is not None
        assert await ask_to_go_live(desk, world, Human(RIGHT))


async def test_a_strategy_that_was_changed_while_the_human_typed_is_not_armed(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)

    async def meanwhile() -> str:
        path = file_of(home, spec)
        path.write_text(path.read_text().replace('"leverage": 1', '"leverage": 2'))
        return code_in_chat(world)

    async with desk_in(home, world) as desk:
        with pytest.raises(SpecError, match="does not fit"):
            await go_live(desk, ask=Human(RIGHT).ask, say=Human(RIGHT).say, read_code=meanwhile)
    assert nothing_armed(home)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"live_trading": False}, "LIVE_TRADING is not YES"),
        ({"binance_api_key": None, "binance_api_secret": None}, "no trading keys"),
        ({"telegram_token": None, "telegram_chat_id": None}, "no TELEGRAM_TOKEN"),
    ],
)
async def test_the_first_gate_keys_and_telegram_must_be_there(
    home: Home, world: World, change: dict[str, object], words: str
) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    environment = replace(KEYS, **change)  # type: ignore[arg-type]
    async with desk_in(home, world, environment=environment) as desk:
        with pytest.raises(TradingEngineError, match=words):
            await ask_to_go_live(desk, world, Human(RIGHT))
    assert nothing_armed(home)


@pytest.mark.parametrize(
    ("rights", "words"),
    [({"withdrawals": True}, "the key may withdraw"), ({"ip_restricted": False}, "not bound to an address")],
)
@pytest.mark.usefixtures("key_as_it_should_be")
async def test_a_key_that_may_too_much_is_refused(
    home: Home, world: World, rights: dict[str, bool], words: str
) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    put(world, "/sandbox/key", rights)
    human = Human(RIGHT)
    async with desk_in(home, world) as desk:
        with pytest.raises(TradingEngineError, match="the doctor is not green"):
            await ask_to_go_live(desk, world, human)
    assert words in human.page
    assert nothing_armed(home)


async def test_keys_the_exchange_does_not_know_are_refused(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    human = Human(RIGHT)
    environment = replace(KEYS, binance_api_key=SecretStr("someone-elses"))
    async with desk_in(home, world, environment=environment) as desk:
        with pytest.raises(TradingEngineError, match="the doctor is not green"):
            await ask_to_go_live(desk, world, human)
    assert "BAD   key rights" in human.page
    assert nothing_armed(home)


async def test_limits_that_permit_no_trade_at_all_are_refused(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    human = Human(RIGHT)
    async with desk_in(home, world, risk=RiskLimits(first_live_usdt=20.0)) as desk:
        with pytest.raises(TradingEngineError, match="the doctor is not green"):
            await ask_to_go_live(desk, world, human)
    assert "LIMITS_CONTRADICT" in human.page
    assert "first_live_usdt" in human.page
    assert nothing_armed(home)


async def test_nobody_goes_live_while_a_stop_is_in_force(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    stop_trading(home, by="ada", why="test", at_ms=NOW_MS, keep_positions=True)
    async with desk_in(home, world) as desk:
        with pytest.raises(TradingEngineError, match=r"stop_trading\.py --release"):
            await ask_to_go_live(desk, world, Human(RIGHT))
    assert nothing_armed(home)


async def test_a_stop_that_is_thrown_while_the_human_types_is_not_gone_live_into(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)

    async def meanwhile() -> str:
        stop_trading(home, by="ada", why="test", at_ms=NOW_MS, keep_positions=False)
        return code_in_chat(world)

    human = Human(RIGHT)
    async with desk_in(home, world) as desk:
        with pytest.raises(TradingEngineError, match="a stop is in force"):
            await go_live(desk, ask=human.ask, say=human.say, read_code=meanwhile)
    assert nothing_armed(home)


def test_one_ctrl_c_at_the_code_is_enough(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def ctrl_c(_: str) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5.0)
        raise AssertionError("the question stayed open")

    async def asked(_: str) -> bool:
        return bool(await gate.code_from_keyboard())

    monkeypatch.setattr("builtins.input", ctrl_c)
    monkeypatch.setattr(gate, "_from_command_line", asked)
    assert gate.main([]) == 1
    assert "nothing was changed" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("answers", [["confirm"], ["CONFIRM", "I understand the risks"], [""]])
async def test_a_wrong_phrase_changes_nothing(home: Home, world: World, answers: list[str]) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    async with desk_in(home, world) as desk:
        assert not await ask_to_go_live(desk, world, Human(answers))
    assert nothing_armed(home)


async def test_ways_out_that_were_not_rehearsed_are_warned_of_and_no_refusal(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    human = Human(["no", "no"])
    async with desk_in(home, world) as desk:
        assert not await ask_to_go_live(desk, world, human)
        assert "in 30 days (never rehearsed). Rehearse before you go on: ./lab drill" in human.page
        assert "warn  drills" in human.page
        for name in REHEARSALS:
            file_drill(home, Drill(desk.clock.system_ms(), "demo", "0123456789ab", name, passed=True))
        human = Human(["no"])
        assert not await ask_to_go_live(desk, world, human)
    assert "WARNING" not in human.page
    assert "ok    drills" in human.page


async def test_a_wrong_code_changes_nothing_and_is_not_the_code_of_another_time(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    async with desk_in(home, world) as desk:
        await ask_to_go_live(desk, world, Human(RIGHT), code="")
        assert nothing_armed(home)
        old = code_in_chat(world)
        assert not await ask_to_go_live(desk, world, Human(RIGHT), code=old) or old == code_in_chat(world)
    assert nothing_armed(home)


async def test_a_code_older_than_five_minutes_is_void(home: Home, world: World) -> None:
    class Later(Clock):
        """Real seconds pass when told to."""

        passed_s = 0.0

        def real_s(self) -> float:
            return super().real_s() + self.passed_s

    spec = put_in_review(home)
    approved(home, spec)
    async with desk_in(home, world) as desk:
        clock = Later(origin_ms=desk.clock.now_ms())

        async def read_late() -> str:
            clock.passed_s += gate.CODE_LIFE_S + 1
            return code_in_chat(world)

        human = Human(RIGHT)
        assert not await go_live(replace(desk, clock=clock), ask=human.ask, say=human.say, read_code=read_late)
    assert "older than five minutes" in human.page
    assert nothing_armed(home)


async def test_a_telegram_that_does_not_take_the_code_ends_it(home: Home, world: World) -> None:
    spec = put_in_review(home)
    approved(home, spec)
    fault = {"match": "POST /bot*/sendMessage", "kind": "502", "times": 9}
    put(world, "/sandbox/faults", [fault])
    try:
        async with desk_in(home, world) as desk:
            with pytest.raises(NotifierError):
                await ask_to_go_live(desk, world, Human(RIGHT))
    finally:
        no_faults(world)
    assert nothing_armed(home)
