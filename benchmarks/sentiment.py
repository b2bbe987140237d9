"""What the sentiment can tell, on recorded headlines: `python -m benchmarks.sentiment`; JSON on the last line.

Correlations are of a day's value with the return of Bitcoin's perpetual on the same day and on the next one. A day is
of UTC; a headline counts on the day it is dated, Fear & Greed on the day it is published at the beginning of, so that
its "next" day is the one that begins with it. Intervals are 95 %, by Fisher's z with the effective number of days that
the serial correlation of both leaves.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from ai_brain.senses.relevance import Relevance, relevance
from ai_brain.senses.sentiment_analyzer import score

ROOT = Path(__file__).resolve().parents[1]
DAY_MS = 86_400_000
LEAST_HEADLINES = 5
"""Of a day that has fewer nothing is added up."""

Days = dict[int, float]
"""Day number (UTC days since 1970) -> value."""


def headlines(data: Path) -> list[tuple[int, str, float]]:
    """(day, title, TextBlob's own polarity), oldest first."""
    file = data / "payloads" / "sentiment" / "cryptonews_headlines_2021-2022.parquet"
    query = "SELECT epoch_ms(published::TIMESTAMP), title, auto_polarity FROM read_parquet(?) ORDER BY 1"
    rows = duckdb.execute(query, [str(file)]).fetchall()
    return [(int(ms) // DAY_MS, str(title), float(polarity)) for ms, title, polarity in rows]


def daily_returns(data: Path) -> Days:
    """Log return from midnight to midnight."""
    file = str(data / "perp_BTCUSDT_1h.parquet")
    rows = duckdb.execute("SELECT open_time, open FROM read_parquet(?) ORDER BY 1", [file]).fetchall()
    opens = {int(ms) // DAY_MS: float(price) for ms, price in rows if int(ms) % DAY_MS == 0}
    return {day: math.log(opens[day + 1] / price) for day, price in opens.items() if day + 1 in opens}


def fear_greed(data: Path) -> Days:
    """The index by the day it is published at the beginning of."""
    file = str(data / "fear_greed_daily.parquet")
    rows = duckdb.execute("SELECT timestamp_ms, value FROM read_parquet(?)", [file]).fetchall()
    return {int(ms) // DAY_MS: float(value) for ms, value in rows}


def correlation(values: Days, returns: Days, *, shift: int) -> dict[str, float]:
    """Of a day's value with the return of the day so many later."""
    days = sorted(day for day in values if day + shift in returns)
    x = np.array([values[day] for day in days])
    y = np.array([returns[day + shift] for day in days])
    r = float(np.corrcoef(x, y)[0, 1])
    n = effective(x, y)
    half = 1.96 / math.sqrt(max(n - 3.0, 1.0))
    return {"r": r, "low": math.tanh(math.atanh(r) - half), "high": math.tanh(math.atanh(r) + half), "days": len(days)}


def effective(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Days that count when both series are correlated with their own past (Bartlett 1946), lags up to 30."""
    lags = range(1, min(31, len(x) // 4))
    both = sum((1.0 - lag / len(x)) * own(x, lag) * own(y, lag) for lag in lags)
    return len(x) / max(1.0, 1.0 + 2.0 * both)


def own(x: NDArray[np.float64], lag: int) -> float:
    """Correlation of a series with itself so many days before."""
    return float(np.corrcoef(x[lag:], x[:-lag])[0, 1])


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tape", type=Path, default=ROOT.parent / "shared" / "data", help="recorded data")
    data = parser.parse_args().tape.resolve()
    if not (data / "payloads" / "sentiment").is_dir():
        print(json.dumps({"skipped": f"no recorded headlines in {data}"}))
        return
    told = [row for row in headlines(data) if relevance(row[1], "BTC") is not Relevance.NONE]
    plain = SentimentIntensityAnalyzer()
    before = np.array([plain.polarity_scores(title)["compound"] for _, title, _ in told])
    score(told[0][1])
    began = time.perf_counter()
    ours = np.array([score(title) for _, title, _ in told])
    took_us = (time.perf_counter() - began) / len(told) * 1e6
    labels = np.array([polarity for _, _, polarity in told])
    both = (ours != 0.0) & (labels != 0.0)
    by_day: dict[int, list[float]] = {}
    for (day, _, _), value in zip(told, ours.tolist(), strict=True):
        by_day.setdefault(day, []).append(value)
    moods = {day: float(np.mean(found)) for day, found in by_day.items() if len(found) >= LEAST_HEADLINES}
    returns, index = daily_returns(data), fear_greed(data)
    figures = {
        "headlines": len(told),
        "zero_share_plain_vader": float((before == 0.0).mean()),
        "zero_share_ours": float((ours == 0.0).mean()),
        "us_per_headline": took_us,
        "same_sign_as_auto_labels": float((np.sign(ours[both]) == np.sign(labels[both])).mean()),
        "headlines_same_day": correlation(moods, returns, shift=0),
        "headlines_next_day": correlation(moods, returns, shift=1),
        "fear_greed_day_before": correlation(index, returns, shift=-1),
        "fear_greed_its_day": correlation(index, returns, shift=0),
        "fear_greed_day_after": correlation(index, returns, shift=1),
    }
    print(json.dumps(rounded(figures)))


def rounded(value: object) -> object:
    """Three places."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return round(value, 3) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
