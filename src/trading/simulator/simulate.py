"""One rule strategy over one tape, whole; `stepper.py` does the same as the bars come, with the same step.

Everything is checked here; the kernels trust. Amounts are quote, prices quote per base, times UTC milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trading.domain.errors import SpecError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.tape import Tape
from trading.simulator.code_version import simulator_sha256
from trading.simulator.compile import Program, Signals
from trading.simulator.costs import Costs, MarketRules
from trading.simulator.feed import whole_columns, whole_signals
from trading.simulator.kernel import run
from trading.simulator.open_trade import OpenTrade, open_rule_trade
from trading.simulator.records import FILL, FILLS_A_BAR, RULES, STATE, Acted, Columns
from trading.strategy.spec import RuleParameters, StrategySpec, spec_sha256

LARGEST_QUOTE = 1e12
"""No account is larger; beyond it sums of cents are lost in float64."""

TRADE = np.dtype(
    [
        ("entry_bar", np.int64),
        ("exit_bar", np.int64),
        ("side", np.int64),  # +1 long, -1 short
        ("quantity", np.float64),  # base
        ("entry_price", np.float64),
        ("exit_price", np.float64),
        ("fees", np.float64),  # both fills, liquidation fee included
        ("funding", np.float64),  # received minus paid
        ("slippage", np.float64),  # both fills; already in the prices
        ("pnl", np.float64),  # net: price move - fees + funding
        ("reason", np.int64),  # of the exit, an `Acted`
    ],
    align=True,
)
"""One closed trade; bars are indices of the bars that counted, amounts quote."""


@dataclass(frozen=True, slots=True)
class CostSplit:
    """Where money went between the prices and the wallet, quote, the open trade included."""

    fees: float
    slippage: float
    funding: float
    """Received minus paid: negative is a cost."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a strategy did on the bars of a tape that counted, n of them. Arrays are read-only."""

    trades: NDArray[np.void]
    """(k,) of `TRADE`, closed ones, in order of their exits."""
    open_time_ms: NDArray[np.int64]
    """(n,) of the bars that counted: the whole tape, or from `begin_ms` on."""
    equity: NDArray[np.float64]
    """(n,) quote, marked at each close."""
    returns: NDArray[np.float64]
    """(n,) per bar, fractions; the first from the starting quote."""
    costs: CostSplit
    orders_refused: int
    """Entries below the lot or the minimum notional."""
    gaps_met: int
    """Holes of the tape with a position open."""
    worst_drawdown: float
    """Against the highest close so far, at the worst mark inside a bar, fraction."""
    open_quantity: float
    """Base held at the end, signed by side; 0 when flat."""
    open_trade: OpenTrade | None
    """That position, marked at the last close; None: flat."""
    starting_quote: float
    interval: str
    origin: str
    """Of the tape; `synthetic` is said wherever the result is shown."""
    rates: Costs
    """What was charged."""
    impact_source: str
    """Which impact law, with which k, fitted to what."""
    tape_hash: str
    spec_hash: str
    code_hash: str
    """Of the simulator's sources, see `code_version.py`."""
    acted: dict[str, int]
    """How often each reason of `Acted` filled, every name present; ENTRY counts the open trade too."""


def signals(tape: Tape, parameters: RuleParameters) -> Signals:
    """What the rules say at each close of a tape.

    Raises:
        SpecError: a rule is no rule, or reads an interval that the tape's bars cannot make.
    """
    return whole_signals(Program(parameters, tape.interval), tape)


def simulate(
    tape: Tape,
    spec: StrategySpec,
    *,
    costs: Costs,
    rules: MarketRules,
    starting_quote: float = 10_000.0,
    entry_delay_bars: int = 0,
    begin_ms: int | None = None,
) -> Result:
    """What would this strategy have done?

    Args:
        tape: Checked bars of the spec's market and interval.
        spec: A rule strategy; `funding_carry` has `simulate_carry`.
        costs: Of this market.
        rules: The venue's, for sizes and margin.
        starting_quote: Equity before the first bar.
        entry_delay_bars: Entries act this many bars late, exits do not: what dies of one bar was fragile.
        begin_ms: Bars that open before only warm the indicators up: flat and undecided until then, and none of them is
            in the result. None: every bar counts.

    Raises:
        SpecError: the spec does not fit the tape, or cannot be traded there; no bar opens at or after `begin_ms`.
    """
    numbers = kernel_rules(spec, rules, entry_delay_bars=entry_delay_bars)
    check_fit(tape, spec)
    known = whole_columns(Program(rule_parameters(spec), tape.interval), tape)
    first = first_counted(known.open_ms, begin_ms)
    columns = Columns._make(column[first:] for column in known)
    rates, margin = costs.rates(), rules.margin()
    state, bars = new_state(starting_quote), len(columns.open_ms)
    equity = np.empty(bars)
    parts: list[NDArray[np.void]] = []
    done, room = 0, 4096
    while done < bars:
        trades = np.empty(room + FILLS_A_BAR, dtype=FILL)
        done, written = run(state, columns, numbers, rates, margin, equity, trades)
        parts.append(trades[:written])
        room *= 4
    row = state[0]
    return Result(
        trades=as_trades(np.concatenate(parts)),
        open_time_ms=columns.open_ms,
        equity=_read_only(equity),
        returns=_read_only(returns_of(equity, starting_quote)),
        costs=CostSplit(float(row["fees"]), float(row["slippage"]), float(row["funding"])),
        orders_refused=int(row["refused"]),
        gaps_met=int(row["gaps"]),
        worst_drawdown=float(row["worst_drawdown"]),
        open_quantity=float(row["side"] * row["quantity"]),
        open_trade=open_rule_trade(state),
        starting_quote=starting_quote,
        interval=tape.interval,
        origin=tape.origin,
        rates=costs,
        impact_source=costs.impact_source,
        tape_hash=tape.content_hash,
        spec_hash=spec_sha256(spec),
        code_hash=simulator_sha256(),
        acted=_acted(row, np.concatenate(parts)["reason"]),
    )


def _acted(state: np.void, reasons: NDArray[np.int64]) -> dict[str, int]:
    counts = np.bincount(reasons, minlength=len(Acted))
    counts[Acted.ENTRY] = state["trades"] + (state["side"] != 0)
    return {reason.name: int(counts[reason]) for reason in Acted}


def kernel_rules(spec: StrategySpec, rules: MarketRules, *, entry_delay_bars: int = 0) -> NDArray[np.void]:
    """(1,) of RULES: a strategy's and a market's numbers as the kernel takes them.

    Raises:
        SpecError: a carry; a negative delay.
    """
    parameters = rule_parameters(spec)
    risk = parameters.risk
    if entry_delay_bars < 0:
        raise SpecError(f"strategy {spec.id}: entry_delay_bars={entry_delay_bars}: must be 0 or more")

    def distance(value: float | None) -> float:
        return float("nan") if value is None else float(value)

    numbers = np.zeros(1, dtype=RULES)
    row = {
        "position_fraction": float(risk.position_fraction),
        "leverage": float(risk.leverage),
        "stop_atr": distance(risk.stop_loss_atr),
        "target_atr": distance(risk.take_profit_atr),
        "trail_atr": distance(risk.trailing_atr),
        "max_hold_bars": int(risk.max_hold_bars or 0),
        "entry_delay_bars": int(entry_delay_bars),
        "is_margined": int(spec.market.market is Market.PERP),
        "tick": float(rules.tick),
        "ticks_per_quote": 1.0 / rules.tick,
        "lots_per_base": 1.0 / rules.lot,
        "min_notional": float(rules.min_notional),
        "liquidation_fee_rate": float(rules.liquidation_fee_rate),
        "interval_ms": INTERVAL_MS[spec.market.timeframe],
    }
    for name, value in row.items():
        numbers[name] = value
    numbers.flags.writeable = False
    return numbers


def check_fit(tape: Tape, spec: StrategySpec) -> None:
    """Refuse a tape of another market, or one without the spot closes that the rules read.

    Raises:
        SpecError: market, symbol or interval differ; the rules read `basis` and no spot market is attached.
    """
    wanted = (spec.market.market, spec.market.native_symbol, spec.market.timeframe)
    given = (tape.market, tape.symbol, tape.interval)
    if wanted != given:
        raise SpecError(
            f"strategy {spec.id} is for {' '.join(wanted)}, the tape is {' '.join(given)}: load the strategy's market"
        )
    if spec.reads_basis and len(tape.spot_close) == 0:
        raise SpecError(
            f"strategy {spec.id} reads the basis, the tape {' '.join(given)} has no spot beside it: load spot too"
        )


def first_counted(open_ms: NDArray[np.int64], begin_ms: int | None) -> int:
    """Index of the first bar that counts; those before it warm up.

    Raises:
        SpecError: no bar opens at or after `begin_ms`.
    """
    first = 0 if begin_ms is None else int(np.searchsorted(open_ms, begin_ms))
    if 0 < len(open_ms) == first:
        raise SpecError(f"simulate: begin_ms={begin_ms}: the last bar opens {open_ms[-1]}; begin before it")
    return first


def new_state(starting_quote: float) -> NDArray[np.void]:
    """A strategy before its first bar.

    Raises:
        SpecError: the starting quote is not a positive number.
    """
    check_quote(starting_quote)
    state = np.zeros(1, dtype=STATE)
    for name in ("wallet", "equity", "peak"):
        state[name] = starting_quote
    return state


def note_history(state: NDArray[np.void], columns: Columns) -> None:
    """Let a new account know the last bar before it: its volatility and volume price the first fill."""
    if len(columns.close):
        state["sigma"] = columns.sigma[-1]
        state["quote_volume"] = columns.quote_volume[-1]
        state["last_open_ms"] = columns.open_ms[-1]


def check_quote(starting_quote: float) -> None:
    """Refuse a purse that is none, or more than any market holds.

    Raises:
        SpecError: the starting quote is not a positive number up to `LARGEST_QUOTE`.
    """
    if not 0.0 < starting_quote <= LARGEST_QUOTE:
        raise SpecError(
            f"simulate: starting_quote={starting_quote}: must be a positive amount, at most {LARGEST_QUOTE:g}"
        )


def as_trades(closes: NDArray[np.void]) -> NDArray[np.void]:
    """Closing fills as trades."""
    trades = np.empty(len(closes), dtype=TRADE)
    taken = {"exit_bar": "bar", "exit_price": "price", "fees": "trade_fees", "funding": "trade_funding"}
    taken["slippage"] = "trade_slippage"
    for name in TRADE.names or ():
        trades[name] = closes[taken.get(name, name)]
    trades.flags.writeable = False
    return trades


def returns_of(equity: NDArray[np.float64], starting_quote: float) -> NDArray[np.float64]:
    """(n,) simple returns per bar; 0 from an equity of 0 on."""
    before = np.concatenate(([starting_quote], equity[:-1]))
    if np.all(before > 0.0):
        return (equity - before) / before
    out = np.zeros(len(equity))
    np.divide(equity - before, before, out=out, where=before > 0.0)
    return out


def rule_parameters(spec: StrategySpec) -> RuleParameters:
    """The rules of a rule strategy.

    Raises:
        SpecError: it is a carry.
    """
    if not isinstance(spec.parameters, RuleParameters):
        raise SpecError(f"strategy {spec.id} is a {spec.type}: it has no rules; use simulate_carry")
    return spec.parameters


def _read_only(array: NDArray[np.float64]) -> NDArray[np.float64]:
    array.flags.writeable = False
    return array
