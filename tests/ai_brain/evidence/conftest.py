"""A piece of evidence to vary."""

from __future__ import annotations

import pytest

from ai_brain.evidence.gate_reasons import GateReason
from ai_brain.evidence.verdict import Band, DataUsed, Evidence, Finding, Statistics, Stretch, Verdict


@pytest.fixture
def evidence() -> Evidence:
    return Evidence(
        spec_id="mo-20240101-aaaaaa",
        spec_sha256="a" * 64,
        name="Slow breakout",
        family="momentum",
        market="BTC/USDT:USDT 1h",
        thesis="Trends persist",
        at_ms=1_700_000_000_000,
        verdict=Verdict.APPROVED,
        deciding=None,
        quarantined=False,
        findings=(
            Finding(
                reason=GateReason.TOO_FEW_TRADES, passed=True, refuses=True, value=44.0, limit=30.0, note="44 trades."
            ),
        ),
        data=(
            DataUsed(
                market="perp",
                symbol="BTCUSDT",
                interval="1h",
                origin="recorded",
                content_hash="d" * 64,
                start_ms=1_690_000_000_000,
                end_ms=1_699_999_200_000,
                bars=2777,
                missing_bars=0,
                settlements=347,
            ),
        ),
        stretches=(
            Stretch(
                name="walk-forward",
                start_ms=1_696_000_000_000,
                end_ms=1_699_999_200_000,
                bars=1110,
                entries=44,
                trades=44,
                settlements=12,
                net_return=0.0123,
                sharpe_annual=2.5,
                max_drawdown=0.02,
                fees_quote=31.5,
                slippage_quote=4.25,
                funding_quote=-1.5,
            ),
        ),
        statistics=Statistics(
            bars=1110,
            sharpe_bar=0.0267,
            skew=0.1,
            kurtosis=5.0,
            probabilistic_sharpe=0.81,
            deflated_sharpe=0.7,
            trials=14,
            trial_sharpe_variance=0.001,
            hurdle_sharpe_bar=0.01,
            minimum_track_record_bars=3800.0,
        ),
        prediction=(Band(bars=48, low=-0.01, high=0.02), Band(bars=96, low=-0.015, high=0.03)),
        suspicious=(),
        costs={"taker_rate": 0.001},
        starting_quote=10_000.0,
        settings_sha256="e" * 64,
        code_sha256="f" * 64,
        trades_sha256=None,
        settlements_sha256=None,
    )
