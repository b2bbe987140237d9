"""A venue in memory for several symbols: a wallet of cash that all share, and each symbol's own market."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

from tests.trading.execution.fake_venue import FakeVenue, perp_btc
from tests.trading.execution.rig import START_MS, VirtualClock
from tests.trading.funding.rig import DeskRig, carry_parameters, settled
from trading.domain.instrument import Market
from trading.domain.orders import Balance, Order
from trading.funding.carry_settings import CarrySettings
from trading.risk.limits import RiskLimits
from trading.storage.home import Home
from trading.strategy.spec import StrategySpec, new_spec
from trading.strategy.spec_parts import Origin, SpecMarket, StrategyType

D = Decimal
ROOMY = RiskLimits(
    live_scale_pct=100,
    cooldown_after_fill_s=0,
    cooldown_after_loss_s=0,
    max_positions=4,
    total_at_risk_pct=60,
    cluster_pct=60,
    loss_streak=50,
    trades_per_day=500,
)
"""Nothing but the guards that a test is about stands in the way."""


class ManyVenue:
    """One account over a `FakeVenue` for each symbol; all cash lies in the first one's wallets to begin with."""

    def __init__(self, *bases: str) -> None:
        self.clock = VirtualClock()
        self.of = {f"{base}USDT": self._market(base) for base in bases}
        for venue in list(self.of.values())[1:]:
            venue.spot_usdt = venue.futures_usdt = D(0)

    def _market(self, base: str) -> FakeVenue:
        history = [replace(rate, symbol=f"{base}USDT") for rate in settled()]
        return FakeVenue(self.clock, history=history, base=base, perp=perp_btc(base=base))

    @property
    def first(self) -> FakeVenue:
        return next(iter(self.of.values()))

    async def balances(self, market: Market) -> dict[str, Balance]:
        coins = dict[str, Balance]()
        for venue in self.of.values():
            for asset, held in (await venue.balances(market)).items():
                before = coins.get(asset, Balance(D(0), D(0)))
                coins[asset] = Balance(before.free + held.free, before.locked + held.locked)
        return coins

    def equity(self) -> Decimal:
        return sum((venue.equity() for venue in self.of.values()), D(0))

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: object, **named: object) -> object:
            words = [arg.symbol if isinstance(arg, Order) else arg for arg in (*args, *named.values())]
            known = [self.of[word] for word in words if isinstance(word, str) and word in self.of]
            method = getattr((known or [self.first])[0], name)
            return await method(*args, **named)

        return call


def carry_in(symbol: str, **changes: float) -> StrategySpec:
    """An approved carry in a symbol."""
    base = symbol.removesuffix("USDT")
    return new_spec(
        name=f"Funding carry {base}",
        type=StrategyType.FUNDING_CARRY,
        market=SpecMarket(exchange="binance", symbol=f"{base}/USDT:USDT", timeframe="1h"),
        parameters=carry_parameters(**changes),
        origin=Origin(author="test", thesis=f"longs of {base} pay for leverage"),
        at_ms=START_MS,
    )


def rig_of(home: Home, venue: ManyVenue, limits: RiskLimits = ROOMY, carry: CarrySettings | None = None) -> DeskRig:
    """The desk of that account."""
    return DeskRig(home, cast(FakeVenue, venue), limits, carry=carry or CarrySettings())
