"""Every quarter of an hour: what the feeds say. A feed that fails is told, never invented."""

from __future__ import annotations

from ops.lab import Lab
from trading.domain.errors import DataProviderError


async def run(lab: Lab) -> None:
    """One round over all feeds; headlines go to the next prompt.

    Raises:
        DataProviderError: no feed could be read; names the first.
    """
    news = await lab.news.fetch()
    lab.memory.headlines = news.headlines
    lab.tell("news.fetched", {"headlines": len(news.headlines), "failures": dict(news.failures)})
    if news.failures and len(news.failures) == len(lab.settings.news.feeds):
        feed, why = next(iter(news.failures.items()))
        raise DataProviderError(f"none of {len(news.failures)} feeds could be read; {feed}: {why}")
