"""How headlines sound: VADER with words of the trade, added up with decay. Context; it decides nothing.

VADER (Hutto & Gilbert 2014, ICWSM) scores a text from -1 to 1 by a list of words with weights and rules for negation,
emphasis and contrast. It was made for social media and does not know that "plunges" or "SEC sues" is bad news, so
`crypto_lexicon.json` adds such words and takes the feeling out of some that mean something else here (share, security,
interest). What it can tell, measured, is in docs/senses.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from ai_brain.senses.near_duplicates import without_near_duplicates
from ai_brain.senses.news_fetcher import Headline
from ai_brain.senses.relevance import Relevance, relevance
from ai_brain.senses.sentiment_settings import SentimentSettings
from trading.domain.clock import HOUR_MS

LEXICON = Path(__file__).with_name("crypto_lexicon.json")
SOURCE = "VADER with a crypto lexicon, over headlines"


@dataclass(frozen=True, slots=True)
class Tone:
    """How the relevant headlines sound together."""

    mean: float | None
    """-1 to 1, weighted by recency; None: there are too few of them."""
    standard_error: float | None
    """Of the mean, from the scatter of the scores; None with it."""
    headlines: int
    """How many it is made of, or how many there were."""
    wanted: int
    """Of fewer no mean is told."""
    at_ms: int
    """The newest headline's date, UTC milliseconds; `known_ms` when there is none."""
    known_ms: int
    """As of when it was added up. **Look-ahead**: nothing read later is in it."""
    source: str = SOURCE

    @property
    def in_words(self) -> str:
        """One phrase for a prompt or a report."""
        if self.mean is None or self.standard_error is None:
            return f"not enough headlines ({self.headlines} of {self.wanted})"
        return f"{self.mean:+.2f} ± {1.96 * self.standard_error:.2f} (n = {self.headlines}, -1 to 1)"


def score(title: str) -> float:
    """How a title sounds, -1 to 1; 0.0 is neutral, or without a word that is known."""
    return float(_analyzer().polarity_scores(title)["compound"])


def tone(headlines: Sequence[Headline], coin: str, settings: SentimentSettings, *, now_ms: int) -> Tone:
    """How the headlines about a coin or its market sound as of a time.

    Args:
        headlines: Any; what says the same counts once, what has nothing to do with the market not at all.
        coin: The base asset: `BTC`.
        settings: Decay, and how many are needed.
        now_ms: **Look-ahead**: headlines read or dated later are left out.
    """
    known = [h for h in headlines if h.published_ms <= now_ms and h.known_ms <= now_ms]
    about = [h for h in known if relevance(h.title, coin) is not Relevance.NONE]
    told = without_near_duplicates(sorted(about, key=lambda h: (h.published_ms, h.title)), title=lambda h: h.title)
    at_ms = max((h.published_ms for h in told), default=now_ms)
    if len(told) < settings.min_headlines:
        return Tone(None, None, len(told), settings.min_headlines, at_ms, now_ms)
    weights = [0.5 ** ((now_ms - h.published_ms) / HOUR_MS / settings.half_life_h) for h in told]
    scores = [score(h.title) for h in told]
    total = math.fsum(weights)
    mean = math.fsum(w * s for w, s in zip(weights, scores, strict=True)) / total
    squares = math.fsum((w * (s - mean)) ** 2 for w, s in zip(weights, scores, strict=True))
    return Tone(mean, math.sqrt(squares) / total, len(told), settings.min_headlines, at_ms, now_ms)


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    """VADER with our words; both lists are read once."""
    analyzer = SentimentIntensityAnalyzer()
    analyzer.lexicon.update({word: float(weight) for word, weight in json.loads(LEXICON.read_text("utf-8")).items()})
    return analyzer
