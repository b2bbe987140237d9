"""Settings of the questions for ideas, apart from the code: reading `lab.yaml` loads no library for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class PromptSettings(BaseModel):
    """What a question for ideas looks like."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ideas_per_call: Annotated[int, Field(ge=1, le=10)] = 5
    """Asked for in one question."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.8
    """The model's own measure of how freely it answers."""
    crazy_temperature: Annotated[float, Field(ge=0, le=2)] = 1.4
    """The same, every four hours, for the ideas that nobody would have."""
    max_output_tokens: Annotated[int, Field(ge=256, le=65_536)] = 8192
    """Thoughts included, where the model has them."""
    max_headlines: Annotated[int, Field(ge=0, le=100)] = 12
    """Shown in one question, the newest."""
    max_refused: Annotated[int, Field(ge=0, le=100)] = 15
    """How many of the latest refusals are told."""


class GeneratorSettings(PromptSettings):
    """How ideas are asked for."""

    max_tape_age_s: Annotated[float, Field(gt=0)] = 300.0
    """Of the last bar beyond its own length; an older market is not asked about."""
    cost_round_trip_pct: Annotated[float, Field(gt=0, le=10)] = 0.24
    """Told to the model: both fees and both half spreads, percent of the position."""
