"""Every quarter of an hour: what the feeds say. A feed that fails is told, never invented."""

from __future__ import annotations

from ops.lab import Lab


async def run(lab: Lab) -> None:
    """One round over all feeds; headlines go to the next prompt."""
    news = await lab.news.fetch()
    lab.memory.headlines = news.headlines
    lab.tell("news.fetched", {"headlines": len(news.headlines), "failures": dict(news.failures)})
