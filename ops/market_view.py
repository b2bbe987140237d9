"""The live market as paper trading asks for it: a snapshot taken on the event loop, read in a worker thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ai_brain.paper.market_view import markets_of
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Instrument, Market
from trading.domain.venue import ExchangeName
from trading.market.realtime_market_data import RealtimeMarketData
from trading.market.tape import Tape
from trading.simulator.costs import MarketRules, carry_rules, market_rules
from trading.strategy.spec import CarryParameters, StrategySpec


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Closed bars and verdicts of one moment; implements `ai_brain.paper.market_view.MarketView`."""

    tapes: Mapping[tuple[Market, str, str], Tape]
    reasons: Mapping[tuple[Market, str, str], str]
    """Why a market may not be used; those that may be are not in it."""
    instruments: Mapping[tuple[Market, str], Instrument]
    """Of every market that the lab subscribes to."""
    interval: str
    """Of the candles it subscribes to."""
    exchange: ExchangeName = "binance"
    """Whose market it is."""

    def tape(self, market: Market, symbol: str, interval: str, *, start_ms: int) -> Tape | None:
        """Closed bars from `start_ms` to now; None: none."""
        tape = self.tapes.get((market, symbol, interval))
        if tape is None or tape.end_ms <= start_ms:
            return None
        return tape.window(max(start_ms, tape.start_ms), tape.end_ms)

    def blocked(self, market: Market, symbol: str, interval: str) -> str | None:
        """Why research may not use the newest bars: the validator's reasons, or nobody subscribed; None: it may."""
        if (market, symbol) not in self.instruments or interval != self.interval:
            named = ", ".join(dict.fromkeys(symbol for _, symbol in self.instruments))
            return f"not subscribed: the lab trades {named} {self.interval}"
        return self.reasons.get((market, symbol, interval))

    def rules(self, spec: StrategySpec) -> MarketRules:
        """The venue's steps and minimums; of both legs for a carry.

        Raises:
            DataProviderError: it is of a market that this lab does not read.
        """
        check_market(spec, self.exchange, self.instruments)
        return paper_rules(self.instruments, spec)


def check_market(
    spec: StrategySpec, exchange: ExchangeName, instruments: Mapping[tuple[Market, str], Instrument]
) -> None:
    """Whether a strategy is of a market that this lab reads; one exchange's prices prove nothing at another.

    Raises:
        DataProviderError: it is not.
    """
    if spec.market.exchange != exchange:
        raise DataProviderError(
            f"{spec.id}: it is of {spec.market.exchange} and the lab reads {exchange}; "
            "set venue.exchange back, or retire it"
        )
    symbol = spec.market.native_symbol
    missing = [market for market in markets_of(spec) if (market, symbol) not in instruments]
    if not missing:
        return
    if any(read == symbol for _, read in instruments):
        named = " and ".join(map(str, missing))
        raise DataProviderError(f"{spec.id}: it needs {named}, which the lab does not read at {exchange}")
    raise DataProviderError(
        f"{spec.id}: it is of {symbol}, which the lab does not read; add it to venue.more_symbols, or retire it"
    )


def paper_rules(instruments: Mapping[tuple[Market, str], Instrument], spec: StrategySpec) -> MarketRules:
    """What the venue demands of a strategy's orders; of both legs for a carry."""
    symbol = spec.market.native_symbol
    if isinstance(spec.parameters, CarryParameters):
        return carry_rules(instruments[Market.SPOT, symbol], instruments[Market.PERP, symbol])
    return market_rules(instruments[spec.market.market, symbol])


def take_snapshot(
    market: RealtimeMarketData,
    instruments: Mapping[tuple[Market, str], Instrument],
    interval: str,
    *,
    exchange: ExchangeName = "binance",
) -> Snapshot:
    """The markets as they are now."""
    tapes: dict[tuple[Market, str, str], Tape] = {}
    reasons: dict[tuple[Market, str, str], str] = {}
    for side, symbol in instruments:
        key = (side, symbol, interval)
        try:
            tapes[key] = market.tape(*key)
        except DataProviderError as error:
            reasons[key] = str(error)
            continue
        verdict = market.verdict(*key)
        if not verdict.ok_for_research:
            reasons[key] = "; ".join(verdict.reasons)
    return Snapshot(tapes, reasons, instruments, interval, exchange)
