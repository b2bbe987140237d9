"""Settings of the sentiment, apart from the analyzer: reading `lab.yaml` loads no lexicon for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class SentimentSettings(BaseModel):
    """How headlines are added up, and who is asked for Fear & Greed. It is told, and decides nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """False: nothing is asked and nothing is said of sentiment."""
    half_life_h: Annotated[float, Field(gt=0, le=240)] = 12.0
    """After so many hours a headline counts half."""
    min_headlines: Annotated[int, Field(ge=3, le=200)] = 12
    """Of fewer relevant ones no number is told."""
    fear_greed_url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")] | None = "https://api.alternative.me/fng/"
    """None: it is not asked."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """For the whole answer, real seconds."""
    max_age_h: Annotated[float, Field(ge=24, le=96)] = 48.0
    """Fear & Greed of a day that began longer ago is not told."""
