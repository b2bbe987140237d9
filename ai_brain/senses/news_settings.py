"""Settings of the news, apart from the fetcher: reading `lab.yaml` loads no feed parser for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class NewsSettings(BaseModel):
    """Which feeds, and how patiently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """False: no feed is asked, and nothing is said of news."""
    feeds: tuple[str, ...] = (
        "https://www.coindesk.com/arc/outboundfeeds/rss/",
        "https://cointelegraph.com/rss",
        "https://decrypt.co/feed",
        "https://cryptoslate.com/feed/",
        "https://bitcoinmagazine.com/feed",
    )
    """Addresses of RSS or Atom feeds; each is asked by itself."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """For one feed, from the first byte asked to the last one read, real seconds."""
    max_age_h: Annotated[float, Field(gt=0, le=24 * 30)] = 48.0
    """Older headlines are left out."""
    max_headlines: Annotated[int, Field(ge=1, le=500)] = 40
    """Kept of all feeds together, the newest."""
