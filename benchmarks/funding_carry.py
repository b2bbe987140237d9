"""What the carry's own decision would have earned on every recorded symbol: `docs/funding-carry.md`.

`python -m benchmarks.funding_carry [--folder DIR] [--table FILE]`

The whole capital is in both legs, all fills are a taker's at the base tier; three rules beside each other: `horizon`
is the lab's (defaults of `lab.yaml`), `sign` enters on a positive settlement and closes whenever one is negative,
`always` enters once and stays but for danger to the margin. Cash is 0 %. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence_verdict import DATA
from ops.universe.known_rules import rules_for
from trading.domain.clock import DAY_MS, HOUR_MS, iso
from trading.domain.instrument import Market
from trading.domain.market import YEAR_MS
from trading.market.beside import shared_stretch
from trading.market.importers import import_recorded
from trading.market.tape import Tape
from trading.simulator.carry import CarryResult, simulate_carry
from trading.simulator.carry_outlook import outlooks
from trading.simulator.carry_weights import CarryWeights
from trading.simulator.costs import CarryCosts
from trading.simulator.metrics import max_drawdown
from trading.simulator.settlements import on_minutes
from trading.strategy.parameters import CarryParameters
from trading.strategy.spec import new_spec
from trading.strategy.spec_parts import Origin, SpecMarket, StrategyType

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "SOLUSDT", "BNBUSDT")
LEVERAGES = (1, 2, 3)
BLIND = CarryWeights(horizon_hours=8.0, lookback_hours=72.0, doubt=0.0, cost_margin=0.0)
RULES: dict[str, tuple[CarryWeights, dict[str, float]]] = {
    "horizon": (CarryWeights(), {"entry_apr_pct": 5.0, "exit_apr_pct": 0.0}),
    "sign": (BLIND, {"entry_apr_pct": 0.01, "exit_apr_pct": 0.0}),
    "always": (BLIND, {"entry_apr_pct": 0.01, "exit_apr_pct": -500.0}),
}
MARK = "<!-- study -->\n"


def main() -> None:
    """Run every symbol, leverage and rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DATA, help="of recorded Parquet files")
    parser.add_argument("--table", type=Path, help="document whose tables are renewed")
    given = parser.parse_args()
    found = {symbol: study(given.folder, symbol) for symbol in SYMBOLS}
    if given.table:
        before, _, rest = given.table.read_text(encoding="utf-8").partition(MARK)
        behind = rest.partition(MARK.replace("<!-- ", "<!-- /"))[2]
        text = before + MARK + tables(found) + MARK.replace("<!-- ", "<!-- /") + behind
        given.table.write_text(text, encoding="utf-8")
    print(json.dumps(found, sort_keys=True))


def study(folder: Path, symbol: str) -> dict[str, Any]:
    """Every rule at every leverage over the stretch that both legs have, and how well the horizon was foreseen."""
    spot, perp = (import_recorded(folder, market, symbol, "1h") for market in (Market.SPOT, Market.PERP))
    perp, spot = shared_stretch(perp, spot)
    runs = {
        f"{rule} {leverage}": told(carry(spot, perp, rule, leverage), perp) for rule in RULES for leverage in LEVERAGES
    }
    return {"from": iso(perp.start_ms)[:10], "to": iso(perp.end_ms)[:10], "runs": runs, "foresight": foresight(perp)}


def carry(spot: Tape, perp: Tape, rule: str, leverage: int) -> CarryResult:
    """One rule on one symbol."""
    weights, lines = RULES[rule]
    parameters = CarryParameters.model_validate(
        {
            **lines,
            "max_basis_bps": 30.0,
            "leverage": leverage,
            "rebalance_delta_pct": 2.0,
            "min_hold_fundings": 1,
            "capital_pct": 99.0,
        }
    )
    market = SpecMarket(exchange="binance", symbol=f"{perp.symbol[:-4]}/USDT:USDT", timeframe="1h")
    spec = new_spec(rule, StrategyType.FUNDING_CARRY, market, parameters, Origin(author="study"), perp.start_ms)
    return simulate_carry(spot, perp, spec, costs=CarryCosts(weights=weights), rules=rules_for(spec))


def told(result: CarryResult, perp: Tape) -> dict[str, Any]:
    """A run in percent of the starting equity, and of the years."""
    start, years = result.starting_quote, (perp.end_ms - perp.start_ms) / YEAR_MS
    growth = float(result.equity[-1]) / start
    year = np.array([int(iso(int(ms))[:4]) for ms in result.open_time_ms])
    last = {int(y): float(result.equity[year == y][-1]) for y in np.unique(year)}
    before = dict(zip(last, [start, *last.values()], strict=False))
    return {
        "net_pct_a_year": round(100 * (growth ** (1 / years) - 1), 2),
        "by_year_pct": {str(y): round(100 * (end / before[y] - 1), 2) for y, end in last.items()},
        "in_position_pct": round(100 * float(result.in_position.mean()), 1),
        "entries": result.entries,
        "funding_pct": round(100 * result.funding_quote / start, 2),
        "basis_pct": round(100 * result.basis_quote / start, 2),
        "fees_pct": round(100 * result.fees_quote / start, 2),
        "slippage_pct": round(100 * result.slippage_quote / start, 2),
        "worst_drawdown_pct": round(100 * max(result.worst_drawdown, max_drawdown(result.equity)), 2),
        "liquidations": result.liquidations,
        "ended_by": result.acted,
    }


def foresight(perp: Tape) -> dict[str, float]:
    """The expectation at each day's close against what the 30 days after it paid, both a year; overlapping windows."""
    weights, times = CarryWeights(), on_minutes(perp.funding.time_ms)
    closes = np.arange(perp.start_ms + 30 * DAY_MS, perp.end_ms - 30 * DAY_MS, DAY_MS)
    for array in (times, closes):
        array.flags.writeable = False
    expected, _ = outlooks(times, perp.funding.rate, closes, weights)
    paid = np.concatenate(([0.0], np.cumsum(perp.funding.rate)))
    horizon_ms = weights.horizon_hours * HOUR_MS
    came = (paid[np.searchsorted(times, closes + horizon_ms)] - paid[np.searchsorted(times, closes)]) * (
        YEAR_MS / horizon_ms
    )
    known = np.isfinite(expected)
    expected, came = expected[known], came[known]
    return {
        "n_days": int(known.sum()),
        "correlation": round(float(np.corrcoef(expected, came)[0, 1]), 2),
        "root_mean_square_error_pct": round(100 * math.sqrt(float(((expected - came) ** 2).mean())), 1),
        "mean_expected_pct": round(100 * float(expected.mean()), 1),
        "mean_came_pct": round(100 * float(came.mean()), 1),
    }


def tables(found: dict[str, Any]) -> str:
    """All runs as Markdown."""
    lines = list(_runs(found))
    lines += ["", "| year | " + " | ".join(f"{s} horizon | {s} sign" for s in found) + " |"]
    lines += ["|---|" + "---|" * (2 * len(found))]
    years = sorted({y for one in found.values() for y in one["runs"]["horizon 1"]["by_year_pct"]})
    for y in years:
        cells = [one["runs"][f"{rule} 1"]["by_year_pct"].get(y) for one in found.values() for rule in RULES]
        kept = [cell for at, cell in enumerate(cells) if at % len(RULES) < 2]
        lines.append(f"| {y} | " + " | ".join("-" if cell is None else f"{cell:+.2f}" for cell in kept) + " |")
    lines += ["", "| symbol | days | expected, mean | came, mean | correlation | error, root mean square |"]
    lines += ["|---|---|---|---|---|---|"]
    for symbol, one in found.items():
        f = one["foresight"]
        lines.append(
            f"| {symbol} | {f['n_days']} | {f['mean_expected_pct']} % | {f['mean_came_pct']} % | "
            f"{f['correlation']} | {f['root_mean_square_error_pct']} % |"
        )
    return "\n".join(lines) + "\n"


def _runs(found: dict[str, Any]) -> Sequence[str]:
    columns = (
        "net_pct_a_year",
        "in_position_pct",
        "entries",
        "funding_pct",
        "basis_pct",
        "fees_pct",
        "slippage_pct",
        "worst_drawdown_pct",
        "liquidations",
    )
    heads = (
        "net a year, % | in position, % | entries | funding, % | basis, % | fees, % | slippage, % | worst drawdown, %"
    )
    lines = [f"| symbol | rule, leverage | {heads} | liquidations |", "|---|---|" + "---|" * len(columns)]
    for symbol, one in found.items():
        for name, run in one["runs"].items():
            lines.append(f"| {symbol} | {name} | " + " | ".join(f"{run[column]}" for column in columns) + " |")
    return lines


if __name__ == "__main__":
    main()
