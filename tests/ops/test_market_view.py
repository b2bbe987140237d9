"""What paper trading sees of the live market: what is subscribed to, and why the rest may not be used."""

from __future__ import annotations

from typing import cast

import pytest

from ai_brain.paper.market_view import tapes_of
from ops.market_view import Snapshot, take_snapshot
from tests.ops.world import CARRY
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Instrument, Market
from trading.market.realtime_market_data import RealtimeMarketData
from trading.market.synthetic import Plan, synthetic_market
from trading.market.validator_rules import FLAWLESS
from trading.strategy.spec import load_spec

MADE = synthetic_market(Plan(start_ms=1_704_067_200_000, bars=240, seed=3))


class Live:
    """A market of two tapes, with a verdict that can be replaced."""

    verdicts = {Market.SPOT: FLAWLESS, Market.PERP: FLAWLESS}  # noqa: RUF012

    def tape(self, market: Market, symbol: str, interval: str) -> object:
        if (symbol, interval) != ("BTCUSDT", "1h"):
            raise DataProviderError("not subscribed to")
        return MADE.spot if market is Market.SPOT else MADE.perp

    def verdict(self, market: Market, _symbol: str, _interval: str) -> object:
        return self.verdicts[market]


@pytest.fixture
def snapshot() -> Snapshot:
    instruments = {(side, "BTCUSDT"): cast(Instrument, None) for side in Market}
    return take_snapshot(cast("RealtimeMarketData", Live()), instruments, "1h")


def test_what_is_subscribed_to_is_there_and_free(snapshot: Snapshot) -> None:
    for market in Market:
        assert snapshot.blocked(market, "BTCUSDT", "1h") is None
        tape = snapshot.tape(market, "BTCUSDT", "1h", start_ms=0)
        assert tape is not None
        assert len(tape) == 240


@pytest.mark.parametrize(("symbol", "interval"), [("ETHUSDT", "1h"), ("BTCUSDT", "4h")])
def test_another_symbol_or_timeframe_is_blocked_with_what_the_lab_trades(
    snapshot: Snapshot, symbol: str, interval: str
) -> None:
    assert snapshot.blocked(Market.PERP, symbol, interval) == "not subscribed: the lab trades BTCUSDT 1h"


def test_a_strategy_of_another_symbol_is_told_why_it_stands_still(snapshot: Snapshot) -> None:
    spec = load_spec(CARRY.replace("BTC/USDT", "ETH/USDT").encode(), where="test")
    assert tapes_of(snapshot, spec, start_ms=0) == ("perp ETHUSDT 1h: not subscribed: the lab trades BTCUSDT 1h")
