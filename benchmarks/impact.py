"""What recorded books say of slippage: `python -m benchmarks.impact [--tape DIR] [--chart FILE]`, from the root; JSON.

Market orders of many sizes are walked through every book a second, buys and sells; what they pay beyond half the spread
is fitted as `k x sigma x sqrt(notional / quote volume)`, sigma and volume those of the bar before, as the simulator
reads them, and with a free exponent, which says whether the root holds. Intervals: bootstrap over blocks of 20 s.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.recorded_books import Sighting, sightings
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.importers import import_recorded
from trading.simulator.book_walk import walked_slippage_rate
from trading.simulator.indicators import bar_sigma

DATA = Path(os.environ.get("LAB_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
SIZES_QUOTE = (1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7)
FILLED_SHARE = 0.8
"""A size that fewer of the books could fill says more of their recorded depth than of slippage, and is left out."""
BLOCK_MS = 20_000
DRAWS = 1000
SEED = 1
EXPONENTS = np.linspace(0.2, 2.0, 181)
HISTORY_MS = 400 * 3_600_000
"""Bars before a sighting that its sigma is drawn from."""


@dataclass(frozen=True, slots=True)
class Walks:
    """Orders walked through the books of one source, (n,) each."""

    notional: NDArray[np.float64]
    excess: NDArray[np.float64]
    """Beyond half the spread, fraction."""
    block: NDArray[np.int64]
    asked: dict[float, int]
    """Walks tried, by size; the thin ones are not in the arrays."""
    half_spread: float
    """Median, fraction; nan where one side alone was recorded."""


def walks_of(books: list[Sighting]) -> Walks:
    """Every size through every side."""
    rows, asked, spreads = [], defaultdict(int), []
    for book in books:
        if book.asks and book.bids:
            best_bid, best_ask = book.bids[0][0], book.asks[0][0]
            spreads.append((best_ask - best_bid) / (best_ask + best_bid))
        for side in (book.bids, book.asks):
            for size in SIZES_QUOTE if side else ():
                asked[size] += 1
                excess = walked_slippage_rate(side, size)
                if excess is not None:
                    rows.append((size, excess, book.at_ms // BLOCK_MS))
    columns = np.array(rows)
    enough = [size for size, tried in asked.items() if (columns[:, 0] == size).sum() >= FILLED_SHARE * tried]
    kept = columns[np.isin(columns[:, 0], enough)]
    half_spread = float(np.median(spreads)) if spreads else float("nan")
    return Walks(kept[:, 0], kept[:, 1], kept[:, 2].astype(np.int64), dict(asked), half_spread)


def bar_before(folder: Path, market: Market, interval: str, at_ms: int) -> tuple[float, float]:
    """Sigma and quote volume of the last bar that had closed."""
    tape = import_recorded(folder, market, "BTCUSDT", interval, at_ms - HISTORY_MS, at_ms - INTERVAL_MS[interval] + 1)
    sigma = bar_sigma(tape.open, tape.close, np.zeros(2))
    return float(sigma[-1]), float(tape.volume_base[-1] * tape.close[-1])


def fit(walks: Walks, sigma: float, quote_volume: float) -> dict[str, object]:
    """k with its interval, what it leaves over, and the exponent that would fit best."""
    share, y = walks.notional / quote_volume, walks.excess
    x = sigma * np.sqrt(share)
    blocks, of = np.unique(walks.block, return_inverse=True)
    rng = np.random.default_rng(SEED)
    weights = np.array(
        [np.bincount(rng.integers(0, len(blocks), len(blocks)), minlength=len(blocks)) for _ in range(DRAWS)]
    )
    xy, xx = (np.bincount(of, z, len(blocks)) for z in (x * y, x * x))
    k, drawn = float(xy.sum() / xx.sum()), (weights @ xy) / (weights @ xx)
    powers = share[None, :] ** EXPONENTS[:, None]
    py, pp = (np.array([np.bincount(of, row, len(blocks)) for row in z]) for z in (powers * y, powers * powers))
    explained = (weights @ py.T) ** 2 / (weights @ pp.T)
    best = int(np.argmax(py.sum(1) ** 2 / pp.sum(1)))
    left = y - k * x
    free = y - py[best].sum() / pp[best].sum() * powers[best]
    total = float(((y - y.mean()) ** 2).sum())
    return {
        "n": len(y),
        "blocks": len(blocks),
        "sigma": round(sigma, 6),
        "quote_volume_musdt": round(quote_volume / 1e6, 2),
        "k": round(k, 3),
        "k_95": _rounded(np.quantile(drawn, [0.025, 0.975]), 3),
        "r2": round(1.0 - float((left**2).sum()) / total, 3),
        "residual_bps_1_10_50_90_99": _rounded(1e4 * np.quantile(left, [0.01, 0.1, 0.5, 0.9, 0.99]), 3),
        "free_exponent": round(float(EXPONENTS[best]), 2),
        "free_exponent_95": _rounded(np.quantile(EXPONENTS[explained.argmax(axis=1)], [0.025, 0.975]), 2),
        "free_r2": round(1.0 - float((free**2).sum()) / total, 3),
    }


def by_size(walks: Walks, k: float, sigma: float, quote_volume: float) -> list[dict[str, float]]:
    """Measured against the law, one row a size, basis points beyond half the spread."""
    rows = []
    for size in np.unique(walks.notional):
        y = 1e4 * walks.excess[walks.notional == size]
        low, middle, high = np.quantile(y, [0.1, 0.5, 0.9])
        rows.append(
            {
                "notional_usdt": float(size),
                "n": len(y),
                "filled_pct": round(100.0 * len(y) / walks.asked[float(size)], 1),
                "mean_bps": round(float(y.mean()), 3),
                "p10_bps": round(float(low), 3),
                "p50_bps": round(float(middle), 3),
                "p90_bps": round(float(high), 3),
                "law_bps": round(1e4 * k * sigma * float(np.sqrt(size / quote_volume)), 3),
            }
        )
    return rows


def _rounded(values: NDArray[np.float64], digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]


def measure(folder: Path) -> dict[str, dict[str, object]]:
    """Every source of books under every bar its market was recorded in."""
    books: dict[str, list[Sighting]] = defaultdict(list)
    for sighting in sightings(folder):
        if sighting.bids or sighting.asks:
            books[sighting.source].append(sighting)
    out: dict[str, dict[str, object]] = {}
    for source, seen in books.items():
        market, at_ms, walks = seen[0].market, seen[0].at_ms, walks_of(seen)
        figures: dict[str, object] = {"market": str(market), "books": len(seen), "half_spread_rate": walks.half_spread}
        is_2024 = at_ms > 1_700_000_000_000
        for interval in ("1h", *(("1m",) if market is Market.SPOT else ("5m",) if is_2024 else ())):
            sigma, quote_volume = bar_before(folder, market, interval, at_ms)
            figures[interval] = fit(walks, sigma, quote_volume)
            if interval == "1h":
                k = float(str(figures[interval]["k"]))  # type: ignore[index]
                figures["sizes"] = by_size(walks, k, sigma, quote_volume)
        out[source] = figures
    return out


def chart(figures: dict[str, dict[str, object]], path: Path) -> None:
    """Measured means with their middle 80 %, and the law with its own k, a panel each replayed market."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    shown = [(source, told) for source, told in figures.items() if source.endswith(".gz")]
    for axes, (source, told) in zip(figure.subplots(1, len(shown), sharey=True), shown, strict=True):
        rows = told["sizes"]
        size, mean, low, high, law = (
            np.array([row[name] for row in rows])  # type: ignore[attr-defined]
            for name in ("notional_usdt", "mean_bps", "p10_bps", "p90_bps", "law_bps")
        )
        axes.fill_between(size, low, high, alpha=0.2, linewidth=0, label="80 % of the walks")
        axes.plot(size, mean, marker="o", markersize=4, label="mean of the walks")
        axes.plot(size, law, linestyle="--", label=f"square-root law, k = {told['1h']['k']}")  # type: ignore[index]
        axes.set_xscale("log")
        axes.set_title(f"{told['market']}, {told['books']} books ({source})", loc="left", fontsize=9)
        axes.set_xlabel("order, USDT")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    figure.axes[0].set_ylabel("beyond half the spread, bps")
    figure.savefig(path, format="png", metadata={"Software": None})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tape", type=Path, default=DATA, help="folder of recorded data")
    parser.add_argument("--chart", type=Path, help="PNG to write")
    arguments = parser.parse_args()
    figures = measure(arguments.tape)
    if arguments.chart:
        chart(figures, arguments.chart)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
