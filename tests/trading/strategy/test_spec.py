"""The strategy file: read strictly, written stably, hashed by what it does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.trading.strategy.examples import AT_MS, ORIGIN, PERP, SPOT, approved, carry, carry_spec, rule_spec, rules
from trading.domain.errors import SpecError
from trading.domain.instrument import Market
from trading.strategy.lifecycle import Stage
from trading.strategy.rules import parse_rule
from trading.strategy.spec import (
    CarryParameters,
    RiskParameters,
    RuleParameters,
    StrategySpec,
    StrategyType,
    dump_spec,
    load_spec,
    new_spec,
    parse_parameters,
    spec_sha256,
    with_performance,
)

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "strategy-file.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
EXAMPLE = EXAMPLES[0].encode()
WRONG = re.findall(
    r"^\| `(.*?)` \| `(.*?)` \| (.*) \|$", DOCUMENT.partition("## What a wrong file gets")[2], re.MULTILINE
)


def refusal(raw: bytes) -> str:
    with pytest.raises(SpecError) as refused:
        load_spec(raw, where="x.json")
    line = str(refused.value)
    assert line.isprintable()
    assert line.startswith("x.json: ")
    return line.removeprefix("x.json: ")


def changed(path: str, value: object, raw: bytes = EXAMPLE) -> bytes:
    """The example with one value replaced, or a key added; `path` such as `parameters.entry_long.0`."""
    whole = json.loads(raw)
    at = whole
    *way, last = path.split(".")
    for part in way:
        at = at[int(part) if isinstance(at, list) else part]
    at[int(last) if isinstance(at, list) else last] = value
    return json.dumps(whole).encode()


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: json.loads(text)["id"])
def test_the_documented_files_load_and_are_written_back_as_they_were(text: str) -> None:
    assert dump_spec(load_spec(text.encode(), where="x")).decode() == text


@pytest.mark.parametrize("spec", [rule_spec(), carry_spec(), approved(rule_spec())], ids=["rules", "carry", "approved"])
def test_a_file_we_wrote_comes_back_byte_for_byte(spec: StrategySpec) -> None:
    raw = dump_spec(spec)
    again = load_spec(raw, where="x")
    assert again == spec
    assert dump_spec(again) == raw
    assert raw.endswith(b"}\n")


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda s: s.isprintable()),
        st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.booleans(), st.text(), st.none()),
        max_size=5,
    ),
    st.floats(0.01, 100.0),
    st.text(max_size=30),
)
@settings(max_examples=150, deadline=None)
def test_any_numbers_and_texts_survive_the_round_trip(
    block: dict[str, str | bool | int | float | None], position_pct: float, thesis: str
) -> None:
    parameters = rules().model_copy(update={"risk": RiskParameters(position_pct=position_pct, max_hold_bars=3)})
    origin = ORIGIN.model_copy(update={"thesis": thesis})
    spec = new_spec("x", StrategyType.MOMENTUM, PERP, parameters, origin, AT_MS)
    raw = dump_spec(with_performance(spec, "dry_run", block))
    again = load_spec(raw, where="x")
    assert dump_spec(again) == raw
    assert again.performance.dry_run == block


@pytest.mark.parametrize(("path", "value", "answer"), WRONG, ids=[f"{p}={v}" for p, v, _ in WRONG])
def test_a_wrong_value_gets_the_documented_line(path: str, value: str, answer: str) -> None:
    assert refusal(changed(path, json.loads(value))) == answer


def test_the_document_shows_what_is_refused() -> None:
    assert len(WRONG) >= 15


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "line 1 column 1: not JSON"),
        (b"[]", "a JSON list, not an object"),
        (b"\xff\xfe{}", "byte 0 is not UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"[" * 100_000, "not JSON that can be read"),
        (b" " * 1_000_001, "1000001 bytes: a strategy file has at most 1000000"),
        (EXAMPLE.replace(b'"name"', b'"id"', 1), 'key "id" stands there twice'),
        (EXAMPLE.replace(b": 5.0", b": NaN"), "NaN is not a number"),
        (EXAMPLE.replace(b": 5.0", b": -Infinity"), "-Infinity is not a number"),
        (EXAMPLE.replace(b": 5.0", b": 1e999"), "parameters.risk.position_pct=Infinity: input should be"),
        (EXAMPLE.replace(b": 5.0", b": " + b"9" * 5000), "not JSON that can be read"),
        (EXAMPLE.replace(b'"market"', b'"markets"'), 'unknown key "markets": did you mean "market"? (and 1 more)'),
        (EXAMPLE.replace(b'"created_at": "2026-01-21T09:14:03Z",', b""), '"created_at" is missing; add it'),
        (EXAMPLE.replace(b'"leverage": 1,', b'"leverage": 1, "stop_los_atr": 2,'), 'did you mean "stop_loss_atr"?'),
    ],
)
def test_what_is_no_strategy_file_is_refused_in_one_line(raw: bytes, says: str) -> None:
    assert says in refusal(raw)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_refused_by_name_or_still_a_strategy(data: st.DataObject) -> None:
    text = EXAMPLE.decode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 12)))
    junk = data.draw(st.one_of(st.text(max_size=4), st.sampled_from(["null", "-1", "{}", '""', "1e400", "[", "true"])))
    raw = (text[:start] + junk + text[end:]).encode(errors="replace")
    try:
        spec = load_spec(raw, where="x.json")
    except SpecError as error:
        message = str(error)
    else:
        message = ""
        assert dump_spec(load_spec(dump_spec(spec), where="x")) == dump_spec(spec)
    assert "\n" not in message


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda x: st.lists(x, max_size=3)))
@settings(max_examples=100, deadline=None)
def test_any_value_in_any_place_is_refused_by_name_or_accepted(value: object) -> None:
    for path in ("type", "market", "parameters", "parameters.risk", "parameters.entry_long", "performance", "history"):
        try:
            spec = load_spec(changed(path, value), where="x.json")
        except SpecError as error:
            message = str(error)
            assert message.startswith("x.json: ")
        else:
            assert isinstance(spec, StrategySpec)


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("max_hold", "max_hold_bars", "parameters.risk"),
        ("trailing_stop_atr", "trailing_atr", "parameters.risk"),
        ("long_entry", "entry_long", "parameters"),
        ("interval", "timeframe", "market"),
        ("strategy_type", "type", ""),
    ],
)
def test_old_names_are_accepted_with_a_warning(old: str, new: str, path: str) -> None:
    raw = EXAMPLE.replace(f'"{new}"'.encode(), f'"{old}"'.encode())
    with capture_logs() as logs:
        assert load_spec(raw, where="x") == load_spec(EXAMPLE, where="x")
    assert [(line["event"], line["old"], line["new"], line["log_level"]) for line in logs] == [
        ("spec.old_name", old, new, "warning")
    ]
    both = changed(f"{path}.{old}" if path else old, 3)
    assert f'"{old}" is the old name of "{new}" and both are given' in refusal(both)


def test_the_hash_is_of_what_it_does_not_of_how_it_is_written() -> None:
    spec = load_spec(EXAMPLE, where="x")
    same = [
        json.dumps(json.loads(EXAMPLE), sort_keys=True).encode(),
        EXAMPLE.replace(b": 5.0", b": 5"),
        EXAMPLE.replace(b"rsi(14) < 28", b"rsi( 14 )<28.0"),
        changed("parameters.entry_long", ["close < bb_lower(20)", "rsi(14) < 28", "rsi(14) < 28"]),
        changed("name", "another name"),
        changed("performance.backtest", {"sharpe": 1.0}),
    ]
    assert {spec_sha256(load_spec(raw, where="x")) for raw in same} == {spec_sha256(spec)}
    different = [
        changed("parameters.risk.position_pct", 5.5),
        changed("parameters.risk.stop_loss_atr", None),
        changed("parameters.entry_long.0", "rsi(14) < 29"),
        changed("parameters.filters", []),
        changed("market.timeframe", "4h"),
        changed("market.symbol", "ETH/USDT:USDT"),
    ]
    hashes = {spec_sha256(load_spec(raw, where="x")) for raw in different}
    assert len(hashes) == len(different)
    assert spec_sha256(spec) not in hashes


def test_the_hash_never_changes_between_versions() -> None:
    assert spec_sha256(load_spec(EXAMPLE, where="x")) == (
        "fe7e299fdc4a0133d7569db81a01e7e4e44915b8f6b1e12f7f93c7f42bfdb02a"
    )


def test_a_new_strategy_is_named_by_type_date_and_hash() -> None:
    spec = rule_spec()
    assert spec.id == f"mr-20260121-{spec_sha256(spec)[:6]}"
    assert carry_spec().id.startswith("fc-20260121-")
    assert (spec.stage, spec.status, spec.created_at) == (Stage.GENERATED, "testing", "2026-01-21T09:14:03Z")


def test_a_market_knows_its_book_and_the_venues_name() -> None:
    assert (PERP.market, PERP.native_symbol) == (Market.PERP, "BTCUSDT")
    assert (SPOT.market, SPOT.native_symbol) == (Market.SPOT, "BTCUSDT")


def test_percents_become_fractions_once() -> None:
    assert rules().risk.position_fraction == 0.05
    parameters = carry()
    assert (
        parameters.entry_apr_fraction,
        parameters.exit_apr_fraction,
        parameters.max_basis_rate,
        parameters.rebalance_delta_fraction,
        parameters.capital_fraction,
    ) == (0.05, 0.0, 0.005, 0.02, 0.9)


def test_the_lookback_covers_every_rule_and_the_distance_unit() -> None:
    assert rules().lookback_bars("1h") == 27
    assert rules("close > sma(3) @ 1d").lookback_bars("4h") == 27
    assert rules("close > sma(3) @ 1d").lookback_bars("1h") == 71
    short = RuleParameters(entry_long=("close > open",), risk=RiskParameters(position_pct=1.0, stop_loss_atr=1.0))
    assert short.lookback_bars("1h") == 14
    held = RuleParameters(entry_long=("close > open",), risk=RiskParameters(position_pct=1.0, max_hold_bars=1))
    assert held.lookback_bars("1h") == 0
    assert parse_rule("adx(14) < 25") in rules().conditions


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"entry_long": ["close > open"], "risk": {"position_pct": 5}}, "no way out of a long: give exit_long"),
        (
            {"entry_short": ["close > open"], "exit_long": ["close < open"], "risk": {"position_pct": 5}},
            "no way out of a short",
        ),
        ({"risk": {"position_pct": 5}}, "it never trades"),
        ({"entry_long": ["close > open"] * 9, "risk": {"position_pct": 5}}, "at most 8 items"),
        ([], "parameters: must be an object"),
    ],
)
def test_parameters_that_cannot_trade_are_refused(found: object, says: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_parameters(StrategyType.MOMENTUM, found, where="idea 3")
    assert str(refused.value).startswith("idea 3: parameters")
    assert says in str(refused.value)


def test_any_one_way_out_is_enough() -> None:
    for way in ("stop_loss_atr", "take_profit_atr", "trailing_atr", "max_hold_bars"):
        found = {"entry_long": ["close > open"], "risk": {"position_pct": 5, way: 2}}
        assert isinstance(parse_parameters(StrategyType.MOMENTUM, found, where="x"), RuleParameters)


def test_spot_is_neither_shorted_nor_levered_nor_paid_funding_nor_has_a_basis() -> None:
    spot = changed("market.symbol", "BTC/USDT")
    load_spec(spot, where="x")
    short = changed("parameters.entry_short", ["rsi(14) > 90"], spot)
    assert "spot cannot be sold short; empty entry_short or trade BTC/USDT:USDT" in refusal(short)
    assert "spot has no leverage" in refusal(changed("parameters.risk.leverage", 2, spot))
    assert "spot has no funding" in refusal(changed("parameters.filters", ["funding > 0"], spot))
    for rule in ("basis > 0", "close > open + basis_mean(3)[1]", "basis_zscore(9) @ 4h < 1"):
        assert "spot has no basis; drop that rule or trade BTC/USDT:USDT" in refusal(
            changed("parameters.filters", [rule], spot)
        )
    assert "names its perpetual; write BTC/USDT:USDT" in refusal(
        changed("market.symbol", "BTC/USDT", dump_spec(carry_spec()))
    )


def test_a_rule_reads_only_intervals_that_the_timeframe_can_make() -> None:
    fits = changed("parameters.filters", ["ema(50) @ 4h > close"])
    assert load_spec(fits, where="x").market.timeframe == "1h"
    assert refusal(changed("market.timeframe", "8h", fits)) == (
        'parameters.filters[0]: rule "ema(50) @ 4h > close": column 11: "@ 4h": must be longer than '
        "timeframe=8h and a whole multiple of it: write one of 1d"
    )
    assert "the strategy's own timeframe: leave it out" in refusal(changed("market.timeframe", "4h", fits))
    with pytest.raises(SpecError, match=r'parameters.entry_long\[0\]: rule .* "@ 5m": must be longer'):
        new_spec("x", StrategyType.MOMENTUM, PERP, rules("close > open @ 5m"), ORIGIN, AT_MS)


def test_parts_that_do_not_fit_are_no_new_strategy() -> None:
    with pytest.raises(SpecError, match="these are not its parameters"):
        new_spec("x", StrategyType.MOMENTUM, PERP, carry(), ORIGIN, AT_MS)
    with pytest.raises(SpecError, match='name="": string should have at least 1'):
        new_spec("", StrategyType.MOMENTUM, PERP, rules(), ORIGIN, AT_MS)


def test_a_performance_block_is_flat_and_finite() -> None:
    for bad in (float("nan"), [1, 2]):
        with pytest.raises(SpecError, match=r"performance\.dry_run\.sharpe="):
            with_performance(rule_spec(), "dry_run", {"sharpe": bad})  # type: ignore[dict-item]  # what a bug would do
    assert with_performance(rule_spec(), "live", {"trades": 3}).performance.live == {"trades": 3}


def test_a_carry_leaves_below_where_it_enters() -> None:
    plain = carry().model_dump()
    with pytest.raises(SpecError, match=r"exit_apr_pct=5\.0: must be below entry_apr_pct=5\.0"):
        parse_parameters(StrategyType.FUNDING_CARRY, {**plain, "exit_apr_pct": 5}, where="x")
    assert isinstance(parse_parameters(StrategyType.FUNDING_CARRY, plain, where="x"), CarryParameters)
