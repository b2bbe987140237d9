"""How often a carry's evidence expires although nothing was promised wrongly, and how soon when its income is gone.

`python -m benchmarks.living`; JSON. On the recorded funding and hourly closes of `../shared/data`: a carry held all the
time, half of its equity in each leg, judged on 292 days (40 % of two years) and tested on the next two years. A life
begins every 90 settlements, so lives overlap, and those of different coins share their years: shares are rough.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ai_brain.evidence.living import life_of, promised, sums
from trading.market.parquet import read_parquet

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
COINS = ("BTC", "ETH", "XRP", "SOL")
SIZES = (21, 42, 63, 90)
JUDGED, LIVED, FEWEST, EVERY = 876, 2190, 540, 90
"""Settlements: of the record, of a life, of the shortest life, between the beginnings of two lives."""
ALPHA = 0.05


def results(coin: str) -> NDArray[np.float64]:
    """(n,) of each settlement, fraction of equity: half of the rate less half of what the basis widened by."""
    funding = read_parquet([DATA / f"funding_{coin}USDT.parquet"], ("funding_time", "funding_rate"))
    perp, spot = (
        read_parquet([DATA / f"{leg}_{coin}USDT_1h.parquet"], ("open_time", "close")) for leg in ("perp", "spot")
    )
    _, of_perp, of_spot = np.intersect1d(perp["open_time"], spot["open_time"], return_indices=True)
    times, basis = perp["open_time"][of_perp], perp["close"][of_perp] / spot["close"][of_spot] - 1.0
    _, due, bar = np.intersect1d(funding["funding_time"], times, return_indices=True)
    made: NDArray[np.float64] = (funding["funding_rate"][due][1:] - np.diff(basis[bar])) / 2.0
    return made


def lives(settled: NDArray[np.float64], size: int) -> list[tuple[bool, int | None]]:
    """Of each life whose record earned: did it expire, and after how many settlements when it loses what it earned."""
    found: list[tuple[bool, int | None]] = []
    for begin in range(0, len(settled) - JUDGED - FEWEST, EVERY):
        promise = promised(settled[begin : begin + JUDGED], settlements_a_result=size)
        if promise is None or promise.mean <= 0.0:
            continue
        life = sums(settled[begin + JUDGED : begin + JUDGED + LIVED], size)
        gone = life - life.mean() - promise.mean
        first = next(
            (n for n in range(1, len(gone) + 1) if life_of("live", promise, gone[:n], alpha=ALPHA).has_failed), None
        )
        found.append((life_of("live", promise, life, alpha=ALPHA).has_failed, None if first is None else first * size))
    return found


def main() -> None:
    """Print what each size of sum gives."""
    settled = [results(coin) for coin in COINS]
    told = {}
    for size in SIZES:
        found = [life for one in settled for life in lives(one, size)]
        ends = sorted(end if end is not None else LIVED + 1 for _, end in found)
        told[f"sums of {size}"] = {
            "lives": len(found),
            "expired": sum(failed for failed, _ in found),
            "losing as much as was earned: found in two years": sum(end <= LIVED for end in ends),
            "found after settlements, median": ends[len(ends) // 2] if ends[len(ends) // 2] <= LIVED else None,
        }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
