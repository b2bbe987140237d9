"""What a result carries besides its numbers: what acted, and the hashes that lead back to tape, spec and code."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import trading.simulator
from tests.trading.simulator.markets import carry_spec, random_tape, rule_spec
from tests.trading.simulator.test_carry_twin import wild_legs
from trading.simulator.carry import simulate_carry
from trading.simulator.code_version import files_sha256, simulator_sha256, sources
from trading.simulator.costs import CarryCosts, Costs, MarketRules
from trading.simulator.records import Acted
from trading.simulator.simulate import simulate
from trading.strategy.spec import spec_sha256

RULES = MarketRules(tick=0.01, lot=0.001)


def test_every_reason_is_counted_as_often_as_it_closed_a_trade_and_entries_with_the_open_one() -> None:
    spec, met = rule_spec(stop_loss_atr=1.0, take_profit_atr=2.0, leverage=3, max_hold_bars=4), Counter[str]()
    for seed in range(20):
        result = simulate(random_tape(seed, 200), spec, costs=Costs(), rules=RULES)
        closed = Counter(Acted(int(reason)).name for reason in result.trades["reason"])
        assert list(result.acted) == [reason.name for reason in Acted]
        assert {name: n for name, n in result.acted.items() if n and name != "ENTRY"} == dict(closed)
        assert result.acted["ENTRY"] == len(result.trades) + (result.open_quantity != 0.0)
        met += closed
    assert {"EXIT_RULE", "STOP", "TAKE_PROFIT", "MAX_HOLD"} <= set(met)


def test_a_carry_counts_what_ended_it() -> None:
    spot, perp = wild_legs(3)
    result = simulate_carry(spot, perp, carry_spec(leverage=3, min_hold_fundings=1), costs=CarryCosts(), rules=RULES)
    assert sum(result.acted.values()) == result.exits
    assert result.acted["LIQUIDATION"] <= result.liquidations


def test_a_result_names_tape_spec_and_code() -> None:
    tape, spec = random_tape(1, 60), rule_spec()
    result = simulate(tape, spec, costs=Costs(), rules=RULES)
    assert (result.tape_hash, result.spec_hash) == (tape.content_hash, spec_sha256(spec))
    assert result.code_hash == simulator_sha256()
    assert len(result.code_hash) == 64


def test_the_hash_of_the_code_changes_with_any_of_its_files(tmp_path: Path) -> None:
    folder = Path(trading.simulator.__path__[0])
    names = {path.name for path in sources(str(folder))}
    assert {"kernel.py", "carry_kernel.py", "costs.py", "fills.py", "indicators.py"} <= names
    for path in sources(str(folder)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = files_sha256(sources(str(tmp_path)))
    assert before == files_sha256(sources(str(folder)))
    with (tmp_path / "fills.py").open("a") as file:
        file.write("\n# another\n")
    assert files_sha256(sources(str(tmp_path))) != before
