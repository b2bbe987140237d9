"""The strategies next to one: which there are, that each differs in one number, and that all can be judged."""

from __future__ import annotations

from ai_brain.evidence.neighbours import neighbours
from ai_brain.research_library import library_specs
from tests.ai_brain.markets import START_MS, carry_spec, rule_spec
from trading.strategy.spec import dump_spec, load_spec, spec_sha256


def entries(*rules: str, **others: object) -> list[str]:
    spec = rule_spec(rules[0], filters=rules[1:], **others)  # type: ignore[arg-type]  # risk, as rule_spec names it
    return list(neighbours(spec))


def test_every_threshold_period_and_factor_is_varied_by_itself_and_lags_and_intervals_are_not() -> None:
    assert entries("close < bb_lower(20, 2) * 0.99", "ema(50)[3] @ 4h > ema(200) @ 4h") == [
        "entry_long 1: close < bb_lower(18, 2) * 0.99",
        "entry_long 1: close < bb_lower(22, 2) * 0.99",
        "entry_long 1: close < bb_lower(20, 1.8) * 0.99",
        "entry_long 1: close < bb_lower(20, 2.2) * 0.99",
        "entry_long 1: close < bb_lower(20, 2) * 0.891",
        "entry_long 1: close < bb_lower(20, 2) * 1.089",
        "filters 1: ema(45)[3] @ 4h > ema(200) @ 4h",
        "filters 1: ema(55)[3] @ 4h > ema(200) @ 4h",
        "filters 1: ema(50)[3] @ 4h > ema(180) @ 4h",
        "filters 1: ema(50)[3] @ 4h > ema(220) @ 4h",
    ]


def test_distances_and_the_time_limit_are_varied_and_the_size_is_not() -> None:
    found = entries("close > open", max_hold_bars=48, stop_loss_atr=2.0, position_pct=30.0)
    assert found == ["stop_loss_atr 1.8", "stop_loss_atr 2.2", "max_hold_bars 43", "max_hold_bars 53"]


def test_what_a_tenth_does_not_change_or_would_break_has_no_neighbour() -> None:
    assert entries("roc(3) > 0", max_hold_bars=4) == []
    assert entries("ema(2000) > close") == ["entry_long 1: ema(1800) > close"]
    assert entries("macd_hist(12, 13, 9) > close") == [
        "entry_long 1: macd_hist(11, 13, 9) > close",
        "entry_long 1: macd_hist(12, 14, 9) > close",
        "entry_long 1: macd_hist(12, 13, 8) > close",
        "entry_long 1: macd_hist(12, 13, 10) > close",
    ]
    assert entries("close > open", stop_loss_atr=0.1) == ["stop_loss_atr 0.11"]


def test_a_carrys_thresholds_are_varied_and_an_exit_above_the_entry_is_left_out() -> None:
    found = neighbours(carry_spec(entry_apr_pct=5.0))
    assert "entry_apr_pct 4.5" in found
    assert "min_hold_fundings 19" in found
    assert not any(name.startswith(("exit_apr_pct", "capital", "leverage")) for name in found)


def test_each_differs_in_what_it_trades_on_can_be_filed_and_leaves_the_spec_as_it_was() -> None:
    for spec in library_specs("BTCUSDT", START_MS):
        before = spec_sha256(spec)
        found = neighbours(spec)
        assert found, spec.name
        hashes = {spec_sha256(load_spec(dump_spec(near), where=name)) for name, near in found.items()}
        assert before not in hashes
        assert len(hashes) == len(found)
        assert spec_sha256(spec) == before
