"""Strategies for tests."""

from __future__ import annotations

from trading.strategy.lifecycle import Stage, approve, move
from trading.strategy.spec import (
    CarryParameters,
    Origin,
    RiskParameters,
    RuleParameters,
    SpecMarket,
    StrategySpec,
    StrategyType,
    new_spec,
)

AT_MS = 1_768_986_843_000
"""2026-01-21T09:14:03Z."""
PERP = SpecMarket(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h")
SPOT = SpecMarket(exchange="binance", symbol="BTC/USDT", timeframe="1h")
ORIGIN = Origin(author="library", thesis="what falls fast comes back")
TO_REVIEW = (Stage.BACKTESTING, Stage.DRY_RUN, Stage.REVIEW)


def rules(entry: str = "rsi(14) < 28", *, stop_loss_atr: float | None = 2.0) -> RuleParameters:
    return RuleParameters(
        entry_long=(entry, "close < bb_lower(20, 2)"),
        exit_long=("rsi(14) > 55",),
        filters=("adx(14) < 25",),
        risk=RiskParameters(position_pct=5.0, leverage=1, stop_loss_atr=stop_loss_atr, max_hold_bars=48),
    )


def carry(*, entry_apr_pct: float = 5.0) -> CarryParameters:
    return CarryParameters(
        entry_apr_pct=entry_apr_pct,
        exit_apr_pct=0.0,
        max_basis_bps=50.0,
        leverage=1,
        rebalance_delta_pct=2.0,
        min_hold_fundings=21,
        capital_pct=90.0,
    )


def rule_spec(entry: str = "rsi(14) < 28", *, market: SpecMarket = PERP, at_ms: int = AT_MS) -> StrategySpec:
    return new_spec("RSI washout", StrategyType.MEAN_REVERSION, market, rules(entry), ORIGIN, at_ms)


def carry_spec() -> StrategySpec:
    return new_spec("Funding carry", StrategyType.FUNDING_CARRY, PERP, carry(), ORIGIN, AT_MS)


def moved(spec: StrategySpec, *stages: Stage) -> StrategySpec:
    for stage in stages:
        spec = move(spec, stage, by="test", why="because", at_ms=AT_MS)
    return spec


def approved(spec: StrategySpec, signature: str = "signed") -> StrategySpec:
    return approve(moved(spec, *TO_REVIEW), by="owner", at_ms=AT_MS, evidence_sha256="e" * 64, signature=signature)
