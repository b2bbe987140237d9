"""What a strategy does on the probe market: the same for the same idea in other words, and for nothing else."""

from __future__ import annotations

from ai_brain.evidence.fingerprint import fingerprint
from ai_brain.research_library import library_specs
from tests.ai_brain.markets import START_MS, carry_spec, rule_spec


def test_other_words_another_name_and_another_size_leave_it_as_it_is() -> None:
    plain = fingerprint(rule_spec("roc(1) < -1.2"))
    assert plain is not None
    assert fingerprint(rule_spec("close < close[1] * 0.988", name="New and bright", position_pct=10.0)) == plain
    assert fingerprint(rule_spec("roc(1) < -1.2", filters=("close > 0.01",))) == plain


def test_another_rule_another_exit_and_another_market_change_it() -> None:
    plain = rule_spec("roc(1) < -1.2")
    others = [rule_spec("roc(1) < -1.3"), rule_spec("roc(1) < -1.2", max_hold_bars=3)]
    elsewhere = ({"symbol": "ETH/USDT:USDT"}, {"timeframe": "4h"})
    others += [plain.model_copy(update={"market": plain.market.model_copy(update=changed)}) for changed in elsewhere]
    found = [fingerprint(spec) for spec in (plain, *others)]
    assert len(set(found)) == len(found)


def test_who_hardly_acts_has_none_and_a_carry_has_none() -> None:
    assert fingerprint(rule_spec("roc(1) < -20")) is None
    assert fingerprint(carry_spec()) is None


def test_the_librarys_effects_are_told_from_one_another_also_where_they_read_funding_or_the_basis() -> None:
    found = [fingerprint(spec) for spec in library_specs("BTCUSDT", START_MS)]
    acting = [value for value in found if value is not None]
    assert len(acting) >= 8
    assert len(set(acting)) == len(acting)
    basis = rule_spec("basis_zscore(24) < -1.5")
    assert fingerprint(basis) not in (None, *acting)
