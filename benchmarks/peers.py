"""The same strategy on the same tape in the lab, in vectorbt and in backtesting: `python -m benchmarks.peers`.

All three get the lab's signals, as arrays; what is compared is what each engine makes of them. The peers live in the
dependency group `peers` and are imported by the functions that run them. JSON on the last line.

A peer is told the lab's terms where it can be: market orders at the next open, one fee rate, half the spread on every
fill (backtesting: on entries), stop and target as distances from the fill, size as a share of the wallet. An array
named by an order lies on the bar that fills it, one after the decision.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import peer_metrics, peer_sweeps
from benchmarks.peer_cases import CASES, DATA, LOT, RULES, START_QUOTE, Case, lab_result, market_of, spec_of, tapes
from benchmarks.peer_rules import Comparison, Terms, Trade, compare
from trading.market.tape import Tape
from trading.simulator.simulate import rule_parameters, signals

Line = NDArray[np.float64]
Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Orders:
    """What a case asks for at each open, (n,) each."""

    buy: Bits
    sell_short: Bits
    leave_long: Bits
    stop: Line
    """Level for the side that may enter here, nan: none; so with `target`, which lies on the tick."""
    target: Line
    fill: Line
    """The price an entry would have."""


def orders_of(case: Case, tape: Tape) -> Orders:
    """The lab's signals moved to the bar that fills them, with the levels written out once more from the rules."""
    said = signals(tape, rule_parameters(spec_of(case, tape)))
    buy, short, leave, atr = (_next_bar(x) for x in (said.entry_long, said.entry_short, said.exit_long, said.atr))
    if case.stop_atr or case.target_atr:
        buy, short = buy & (atr > 0.0), short & (atr > 0.0)
    side = np.where(short, -1.0, 1.0)
    fill = tape.open * (1.0 + side * case.half_spread_rate)
    stop = fill - side * (case.stop_atr or np.nan) * atr
    ticks = (fill + side * (case.target_atr or np.nan) * atr) / RULES.tick
    target = np.where(side > 0.0, np.ceil(ticks - 1e-6), np.floor(ticks + 1e-6)) * RULES.tick
    return Orders(buy.astype(bool), short.astype(bool), leave.astype(bool), stop, target, fill)


def _next_bar(column: NDArray[Any]) -> NDArray[Any]:
    moved = np.empty_like(column)
    moved[1:] = column[:-1]
    moved[0] = np.nan if column.dtype.kind == "f" else False
    return moved


def trades_of(columns: dict[str, Any], orders: Orders, *, knows_wallet: bool = True) -> list[Trade]:
    """Columns by the names of `Trade` as trades, in the order of their entries."""
    wallet = START_QUOTE + np.concatenate(([0.0], np.cumsum(columns["pnl"])[:-1])) if len(columns["pnl"]) else []
    names = ("entry_bar", "exit_bar", "side", "entry_price", "exit_price", "size", "fees", "pnl")
    rows = zip(*(np.asarray(columns[name]).tolist() for name in names), wallet, strict=True)
    return [
        Trade(*row[:8], row[8] if knows_wallet else np.nan, float(orders.stop[row[0]]), float(orders.target[row[0]]))
        for row in rows
    ]


def lab_trades(case: Case, tape: Tape, orders: Orders) -> list[Trade]:
    """The lab's."""
    found = lab_result(case, tape).trades
    return trades_of({name: found[name] for name in found.dtype.names or ()} | {"size": found["quantity"]}, orders)


def vectorbt_portfolio(case: Case, tape: Tape, orders: Orders) -> Any:
    """vectorbt's `Portfolio.from_signals`; it cannot reverse a share of the wallet, so there it is told 1 base."""
    import vectorbt as vbt

    protected = {}
    if case.stop_atr:
        protected["sl_stop"] = np.abs(1.0 - orders.stop / orders.fill)
    if case.target_atr:
        protected["tp_stop"] = np.abs(orders.target / orders.fill - 1.0)
    sizes = {"size": 1.0, "size_type": "amount", "init_cash": 1e9}
    if not case.both_sides:
        share = min(case.pct / 100.0 * (1.0 + case.fee_rate), 1.0)
        sizes = {"size": share, "size_type": "percent", "init_cash": START_QUOTE}
    return vbt.Portfolio.from_signals(
        tape.close, entries=orders.buy, exits=orders.leave_long, short_entries=orders.sell_short,
        short_exits=np.zeros_like(orders.buy), price=tape.open, val_price=tape.open, open=tape.open, high=tape.high,
        low=tape.low, fees=case.fee_rate, slippage=case.half_spread_rate, upon_opposite_entry="reverse",
        stop_entry_price="fillprice", stop_exit_price="stopmarket", freq="1h", **sizes, **protected,
    )  # fmt: skip


def vectorbt_trades(case: Case, tape: Tape, orders: Orders) -> list[Trade]:
    """vectorbt's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = vectorbt_portfolio(case, tape, orders).exit_trades.records
    found = found[found["status"] == 1]
    columns = {name: found[name].to_numpy() for name in ("entry_price", "exit_price", "size", "pnl")}
    columns |= {"entry_bar": found["entry_idx"].to_numpy(), "exit_bar": found["exit_idx"].to_numpy()}
    columns["fees"] = (found["entry_fees"] + found["exit_fees"]).to_numpy()
    columns["side"] = 1 - 2 * found["direction"].to_numpy()
    return trades_of(columns, orders, knows_wallet=not case.both_sides)


def backtesting_trades(case: Case, tape: Tape, orders: Orders) -> list[Trade]:
    """backtesting's, in whole units of `LOT`; its share of the wallet includes the fee, ours does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from backtesting.lib import FractionalBacktest

        names = {"Open": tape.open, "High": tape.high, "Low": tape.low, "Close": tape.close, "Volume": tape.volume_base}
        frame = pd.DataFrame(names, index=pd.to_datetime(tape.open_time_ms, unit="ms"))
        bench = FractionalBacktest(
            frame, _ema_cross(case, orders), fractional_unit=LOT, cash=START_QUOTE, commission=case.fee_rate,
            spread=case.half_spread_rate, exclusive_orders=True,
        )  # fmt: skip
        found = bench.run()["_trades"]
    columns = {"entry_bar": found["EntryBar"], "exit_bar": found["ExitBar"], "side": np.sign(found["Size"]).astype(int)}
    columns |= {"entry_price": found["EntryPrice"], "exit_price": found["ExitPrice"], "size": found["Size"].abs()}
    columns |= {"fees": found["Commission"], "pnl": found["PnL"]}
    return trades_of({name: column.to_numpy() for name, column in columns.items()}, orders)


def _ema_cross(case: Case, orders: Orders) -> type:
    """The strategy class that sends these orders."""
    from backtesting import Strategy

    last, slip, fee = len(orders.buy) - 1, case.half_spread_rate, case.fee_rate

    class EmaCross(Strategy):
        def init(self) -> None:
            """Nothing to prepare: the orders are there."""

        def next(self) -> None:
            at = len(self.data)
            if at > last:
                return
            if orders.buy[at] and not self.position.is_long:
                self._enter(self.buy, at, 1.0 + slip)
            elif orders.sell_short[at] and not self.position.is_short:
                self._enter(self.sell, at, 1.0 - slip)
            elif self.position and (orders.leave_long[at] or self._is_over(at)):
                self.position.close()

        def _enter(self, send: Any, at: int, slipped: float) -> None:
            # Prices are due with the order: the harness knows the open that will fill it and writes its levels.
            levels = {"sl": orders.stop[at] * LOT, "tp": orders.target[at] * LOT}
            send(size=case.pct / 100.0 * (slipped + fee) / slipped, **{k: v for k, v in levels.items() if v == v})

        def _is_over(self, at: int) -> bool:
            return case.max_hold_bars is not None and at - self.trades[0].entry_bar >= case.max_hold_bars

    return EmaCross


RUNS = {"vectorbt": vectorbt_trades, "backtesting": backtesting_trades}


def terms_of(case: Case, peer: str) -> Terms:
    """How a peer differs by its own documents."""
    is_vectorbt = peer == "vectorbt"
    return Terms(
        RULES.tick, LOT, case.fee_rate, case.half_spread_rate,
        exit_slippage_rate=case.half_spread_rate if is_vectorbt else 0.0,
        protects_entry_bar=not is_vectorbt,
        compares_sizes=not (is_vectorbt and case.both_sides),
    )  # fmt: skip


def compared(case: Case, peer: str, tape: Tape) -> Comparison:
    """One case in the lab and in one peer, trade by trade."""
    market = market_of(case, tape)
    orders = orders_of(case, market)
    return compare(lab_trades(case, market, orders), RUNS[peer](case, market, orders), market, terms_of(case, peer))


def main() -> None:
    """Compare every case, and the metrics; with `--speed` time a sweep of pairs instead. Prints JSON."""
    recorded = tapes(DATA)
    if "--speed" in sys.argv[1:]:
        print(json.dumps(peer_sweeps.speeds(DATA)))
        return
    figures: dict[str, object] = {
        f"{peer}: {case.name}": compared(case, peer, recorded[case.tape]).to_json()
        for case in CASES
        for peer in case.peers
    }
    figures["metrics"] = peer_metrics.compared(lab_result(CASES[0], recorded["hours"]))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
