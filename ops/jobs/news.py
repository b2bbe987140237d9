"""Every quarter of an hour: what the feeds say. A feed that fails is told, never invented."""

from __future__ import annotations

from ai_brain.senses.sentiment_analyzer import Tone, tone
from ops.service.lab import Lab
from trading.domain.errors import DataProviderError


async def run(lab: Lab) -> None:
    """One round over all feeds; headlines go to the next prompt.

    Raises:
        DataProviderError: no feed could be read; names the first.
    """
    if not lab.settings.news.enabled:
        return
    news = await lab.news.fetch()
    now_ms = lab.clock.now_ms()
    facts = {"headlines": len(news.headlines), "failures": dict(news.failures), "refused": dict(news.refused)}
    lab.tell("news.fetched", facts)
    now_told = {(headline.title, headline.published_ms): headline for headline in news.headlines}
    for key in sorted(now_told.keys() - lab.memory.headlines_noted):
        headline = now_told[key]
        told = {"title": headline.title, "source": headline.source}
        lab.senses.note("news", at_ms=headline.published_ms, known_ms=headline.known_ms, facts=told)
    lab.memory.headlines_noted = set(now_told)
    if (found := tone_now(lab, lab.settings.venue.symbol)) is not None:
        numbers = {"mean": found.mean, "standard_error": found.standard_error, "n": found.headlines}
        lab.senses.note("sentiment", at_ms=found.at_ms, known_ms=now_ms, facts={**numbers, "source": found.source})
    if news.failures and len(news.failures) == len(lab.settings.news.feeds):
        feed, why = next(iter(news.failures.items()))
        raise DataProviderError(f"none of {len(news.failures)} feeds could be read; {feed}: {why}")


def tone_now(lab: Lab, symbol: str) -> Tone | None:
    """How the headlines known now sound together for a symbol's coin; None: news or sentiment is off."""
    if not (lab.settings.news.enabled and lab.settings.sentiment.enabled):
        return None
    now_ms = lab.clock.now_ms()
    return tone(lab.news.as_of(now_ms), symbol.removesuffix("USDT"), lab.settings.sentiment, now_ms=now_ms)
