"""Published effects as strategies: what the lab tries first, and all it tries without a language model.

Each is written the way its source tells it, at one hour a bar, before anybody looked at our data: numbers are the
source's own, counted in hours where it counts days of a market that sleeps. Most will be refused, as they should be.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trading.domain.errors import SpecError
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

LIBRARY = "library"
"""The author of what is written here."""
TIMEFRAME = "1h"
QUOTES = ("USDT", "USDC", "FDUSD", "BUSD")
"""Quote coins by which a venue's symbol is read, longest market first."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One published effect."""

    name: str
    type: StrategyType
    source: str
    """Who published it, where and when."""
    thesis: str
    """Why it should pay somebody."""
    refutation: str
    """What result would show that it does not."""
    entry_long: tuple[str, ...] = ()
    entry_short: tuple[str, ...] = ()
    exit_long: tuple[str, ...] = ()
    exit_short: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    stop_loss_atr: float | None = 3.0
    take_profit_atr: float | None = None
    trailing_atr: float | None = None
    max_hold_bars: int | None = None
    carry: CarryParameters | None = field(default=None)
    """Of a funding carry, in the place of all rules."""


EFFECTS: tuple[Effect, ...] = (
    Effect(
        name="Funding carry",
        type=StrategyType.FUNDING_CARRY,
        source=(
            "He, Manela, Ross & von Wachter (2022), Fundamentals of Perpetual Futures, arXiv 2212.06888; "
            "Schmeling, Schrimpf & Todorov (2023), Crypto Carry, BIS Working Paper 1087"
        ),
        thesis="Longs pay for leverage. Who holds the coin and sells the contract is paid, with no view on the price.",
        refutation="Funding collected over any 90 days stays below the cost of the four legs.",
        carry=CarryParameters(
            entry_apr_pct=5.0,
            exit_apr_pct=0.0,
            max_basis_bps=50.0,
            leverage=1,
            rebalance_delta_pct=2.0,
            min_hold_fundings=21,
            capital_pct=90.0,
        ),
    ),
    Effect(
        name="Time-series momentum, four weeks",
        type=StrategyType.MOMENTUM,
        source="Moskowitz, Ooi & Pedersen (2012), Time Series Momentum, Journal of Financial Economics 104(2)",
        thesis="News is priced slowly and flows follow returns, so the sign of a month carries into the next week.",
        refutation="After a month up, the next week's mean net return is not above that after a month down.",
        entry_long=("mom(672) > 0", "mom(168) > 0"),
        entry_short=("mom(672) < 0", "mom(168) < 0"),
        exit_long=("mom(672) < 0",),
        exit_short=("mom(672) > 0",),
        stop_loss_atr=8.0,
        max_hold_bars=672,
    ),
    Effect(
        name="Short-term reversal",
        type=StrategyType.MEAN_REVERSION,
        source=(
            "Lehmann (1990), Fads, Martingales, and Market Efficiency, Quarterly Journal of Economics 105(1); "
            "Jegadeesh (1990), Journal of Finance 45(3)"
        ),
        thesis="Who must trade now pays who can wait: a fall without news comes back when the pressure ends.",
        refutation="Returns in the day after a fall of two and a half deviations do not exceed the round-trip cost.",
        entry_long=("zscore(24) < -2.5",),
        entry_short=("zscore(24) > 2.5",),
        exit_long=("zscore(24) > 0",),
        exit_short=("zscore(24) < 0",),
        stop_loss_atr=4.0,
        max_hold_bars=24,
    ),
    Effect(
        name="RSI-2 pullback in an uptrend",
        type=StrategyType.MEAN_REVERSION,
        source="Connors & Alvarez (2009), Short Term Trading Strategies That Work, ch. 9",
        thesis="In a rising market a very short washout is profit taking, and is bought back within days.",
        refutation="Entries below the 200-bar average do as well as those above it.",
        entry_long=("rsi(2) < 5", "close > sma(200)"),
        exit_long=("close > sma(5)",),
        stop_loss_atr=5.0,
        max_hold_bars=48,
    ),
    Effect(
        name="Bollinger band with money flow",
        type=StrategyType.MEAN_REVERSION,
        source="Bollinger (2001), Bollinger on Bollinger Bands, Method III",
        thesis="A close outside the band that money flow does not confirm is an overreaction.",
        refutation="Unconfirmed closes outside the band return to the middle no more often than confirmed ones.",
        entry_long=("close < bb_lower(20, 2)", "mfi(14) < 20"),
        entry_short=("close > bb_upper(20, 2)", "mfi(14) > 80"),
        exit_long=("close > bb_mid(20)",),
        exit_short=("close < bb_mid(20)",),
        filters=("adx(14) < 25",),
        max_hold_bars=72,
    ),
    Effect(
        name="Turtle breakout, twenty days",
        type=StrategyType.MOMENTUM,
        source="Faith (2007), Way of the Turtle; after Donchian's four-week rule (1960)",
        thesis="A new twenty-day extreme draws in those who waited for it; a few long trends pay for many losses.",
        refutation="The largest tenth of its trades does not pay for the rest.",
        entry_long=("close > donchian_high(480)[1]",),
        entry_short=("close < donchian_low(480)[1]",),
        exit_long=("close < donchian_low(240)[1]",),
        exit_short=("close > donchian_high(240)[1]",),
        stop_loss_atr=10.0,
    ),
    Effect(
        name="MACD with the long average",
        type=StrategyType.MOMENTUM,
        source="Appel (2005), Technical Analysis: Power Tools for Active Investors, ch. 8",
        thesis="When the short trend turns back into the direction of the long one, it tends to go on for days.",
        refutation="Crossings against the long average do as well.",
        entry_long=("macd_hist(12, 26, 9) crosses_above 0", "close > ema(200)"),
        entry_short=("macd_hist(12, 26, 9) crosses_below 0", "close < ema(200)"),
        exit_long=("macd_hist(12, 26, 9) crosses_below 0",),
        exit_short=("macd_hist(12, 26, 9) crosses_above 0",),
        stop_loss_atr=4.0,
        max_hold_bars=120,
    ),
    Effect(
        name="Volatility breakout",
        type=StrategyType.MOMENTUM,
        source="Crabel (1990), Day Trading with Short Term Price Patterns and Opening Range Breakout",
        thesis="A move of two average ranges in one hour is new information; the rest of the day digests it.",
        refutation="The day after such an hour has a mean return of zero in its direction.",
        entry_long=("close > close[1] + 2 * atr(14)[1]",),
        entry_short=("close < close[1] - 2 * atr(14)[1]",),
        stop_loss_atr=2.0,
        max_hold_bars=24,
    ),
    Effect(
        name="Breakout confirmed by volume",
        type=StrategyType.MOMENTUM,
        source=(
            "Gervais, Kaniel & Mingelgrin (2001), The High-Volume Return Premium, Journal of Finance 56(3); "
            "Blume, Easley & O'Hara (1994), Journal of Finance 49(1)"
        ),
        thesis="Volume tells how many learned of it: an extreme on heavy volume is seen by new buyers for days.",
        refutation="Extremes on light volume do as well.",
        entry_long=("close > donchian_high(120)[1]", "volume_ratio(120) > 2"),
        entry_short=("close < donchian_low(120)[1]", "volume_ratio(120) > 2"),
        stop_loss_atr=3.0,
        trailing_atr=5.0,
        max_hold_bars=168,
    ),
    Effect(
        name="Directional movement",
        type=StrategyType.MOMENTUM,
        source="Wilder (1978), New Concepts in Technical Trading Systems, section IV",
        thesis="When directional movement is strong and changes side, the side that takes over keeps it for a while.",
        refutation="Crossings with a weak ADX do as well as those with a strong one.",
        entry_long=("di_plus(14) crosses_above di_minus(14)", "adx(14) > 25"),
        entry_short=("di_minus(14) crosses_above di_plus(14)", "adx(14) > 25"),
        exit_long=("di_plus(14) < di_minus(14)",),
        exit_short=("di_minus(14) < di_plus(14)",),
        stop_loss_atr=4.0,
        max_hold_bars=168,
    ),
    Effect(
        name="Keltner channel trend",
        type=StrategyType.MOMENTUM,
        source="Keltner (1960), How to Make Money in Commodities; bands by ATR after Raschke & Connors (1995)",
        thesis="A close two average ranges above its own mean shows that buyers no longer wait for a better price.",
        refutation="It falls back inside the channel before it pays the round trip.",
        entry_long=("close crosses_above kc_upper(20, 2)",),
        entry_short=("close crosses_below kc_lower(20, 2)",),
        exit_long=("close < ema(20)",),
        exit_short=("close > ema(20)",),
        filters=("adx(14) > 20",),
        stop_loss_atr=3.0,
        max_hold_bars=120,
    ),
    Effect(
        name="Moving-average rule",
        type=StrategyType.MOMENTUM,
        source="Brock, Lakonishok & LeBaron (1992), Simple Technical Trading Rules, Journal of Finance 47(5)",
        thesis="Returns are higher and calmer while the price is above its long average than below it.",
        refutation="Mean returns above and below the average are the same.",
        entry_long=("sma(50) crosses_above sma(200)",),
        entry_short=("sma(50) crosses_below sma(200)",),
        exit_long=("sma(50) < sma(200)",),
        exit_short=("sma(50) > sma(200)",),
        stop_loss_atr=8.0,
    ),
    Effect(
        name="Crowded longs unwind",
        type=StrategyType.MEAN_REVERSION,
        source="Brunnermeier, Nagel & Pedersen (2008), Carry Trades and Currency Crashes, NBER Macro Annual 23",
        thesis="High funding shows that leveraged longs crowd in one place; when they must leave, they leave together.",
        refutation="Falls after high funding are no deeper than after low funding.",
        entry_short=("funding > 0.0003", "rsi(14) crosses_below 50"),
        exit_short=("funding < 0.0001",),
        stop_loss_atr=4.0,
        take_profit_atr=8.0,
        max_hold_bars=72,
    ),
)
"""Tried in this order: what is paid without a forecast first."""


def library_specs(symbol: str, at_ms: int) -> list[StrategySpec]:
    """The library as strategies on a symbol's perpetual, newly generated.

    Args:
        symbol: The venue's name: `BTCUSDT`.
        at_ms: When they are written down, UTC milliseconds.

    Raises:
        SpecError: the symbol's quote coin is not known.
    """
    market = SpecMarket(exchange="binance", symbol=perpetual(symbol), timeframe=TIMEFRAME)
    return [
        new_spec(
            name=effect.name,
            type=effect.type,
            market=market,
            parameters=_parameters(effect),
            origin=Origin(
                author=LIBRARY,
                model=effect.source,
                prompt_sha256="",
                thesis=effect.thesis,
                refutation=effect.refutation,
            ),
            at_ms=at_ms,
        )
        for effect in EFFECTS
    ]


def perpetual(symbol: str) -> str:
    """The unified name of a symbol's USD-margined perpetual: `BTC/USDT:USDT` of `BTCUSDT`.

    Raises:
        SpecError: no quote coin that the lab knows.
    """
    for quote in QUOTES:
        base = symbol.removesuffix(quote)
        if base and base != symbol:
            return f"{base}/{quote}:{quote}"
    raise SpecError(f"symbol {symbol!r}: ends in none of {', '.join(QUOTES)}; give the venue's name, such as BTCUSDT")


def _parameters(effect: Effect) -> RuleParameters | CarryParameters:
    if effect.carry is not None:
        return effect.carry
    return RuleParameters(
        entry_long=effect.entry_long,
        entry_short=effect.entry_short,
        exit_long=effect.exit_long,
        exit_short=effect.exit_short,
        filters=effect.filters,
        risk=RiskParameters(
            position_pct=5.0,
            leverage=1,
            stop_loss_atr=effect.stop_loss_atr,
            take_profit_atr=effect.take_profit_atr,
            trailing_atr=effect.trailing_atr,
            max_hold_bars=effect.max_hold_bars,
        ),
    )
