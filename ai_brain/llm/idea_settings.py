"""Settings of the questions for ideas, apart from the code: reading `lab.yaml` loads no library for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class PromptSettings(BaseModel):
    """What a question for ideas looks like."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ideas_per_call: Annotated[int, Field(ge=1, le=10)] = 5
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.8
    crazy_temperature: Annotated[float, Field(ge=0, le=2)] = 1.4
    max_output_tokens: Annotated[int, Field(ge=256, le=65_536)] = 8192
    """Thoughts included, where the model has them."""
    max_headlines: Annotated[int, Field(ge=0, le=100)] = 12
    max_refused: Annotated[int, Field(ge=0, le=100)] = 15
    """How many of the latest refusals are told."""


class GeneratorSettings(PromptSettings):
    """How ideas are asked for."""

    max_tape_age_s: Annotated[float, Field(gt=0)] = 300.0
    """Of the last bar beyond its own length; an older market is not asked about."""
    cost_round_trip_pct: Annotated[float, Field(gt=0, le=10)] = 0.24
    """Told to the model: both fees and both half spreads, percent of the position."""
