"""What the lab wants of a language model, whoever makes it: one prompt, one answer, or a failure with a name.

A provider never retries by itself and never puts a template in place of an answer.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel

from trading.domain.errors import ModelAnswerError


class Failure(StrEnum):
    """Why there is no answer; what must happen next differs."""

    RATE_LIMITED = "rate_limited"
    """Ask again after `retry_after_s`."""
    UNAVAILABLE = "unavailable"
    """Not reached, overloaded or too slow: ask again later."""
    TRUNCATED = "truncated"
    """The answer was cut at the limit of its length: it is not used."""
    BLOCKED = "blocked"
    """The provider's filter held the prompt or the answer back."""
    INVALID = "invalid"
    """The request, the key, the model's name or the answer is wrong: a human looks."""


class ModelFailed(ModelAnswerError):
    """No usable answer.

    Attributes:
        kind: Which failure.
        retry_after_s: Real seconds the provider asked us to wait; None: it did not say.
        tokens_in: Charged all the same.
        tokens_out: Charged all the same.
        is_cost_known: False: the question was sent and the answer did not come; it may be charged.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: Failure,
        retry_after_s: float | None = None,
        tokens_in: int = 0,
        tokens_out: int = 0,
        is_cost_known: bool = True,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.tokens_in = tokens_in
        self.tokens_out = tokens_out
        self.is_cost_known = is_cost_known


@dataclass(frozen=True, slots=True)
class Prompt:
    """Everything a model is told."""

    system: str
    user: str
    schema: type[BaseModel]
    """The shape the answer must have; the answer is parsed by our own strict model all the same."""
    temperature: float
    """0 repeats itself, 2 wanders."""
    max_output_tokens: int

    @property
    def sha256(self) -> str:
        """Names this prompt in the origin of what came of it; over all of it, hex."""
        told = {
            "system": self.system,
            "user": self.user,
            "schema": self.schema.model_json_schema(),
            "temperature": self.temperature,
            "max_output_tokens": self.max_output_tokens,
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, unread."""

    text: str
    tokens_in: int
    tokens_out: int
    """Thoughts included: they are paid for."""
    model: str
    """The version that answered, as it names itself."""


class LanguageModel(Protocol):
    """One that answers prompts."""

    async def propose(self, prompt: Prompt) -> Answer:
        """Ask once.

        Raises:
            ModelFailed: there is no whole answer.
        """
