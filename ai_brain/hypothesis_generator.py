"""Ideas from a language model: measure the market, ask within the day's budget, read the answer strictly.

Whatever goes wrong gives no idea, a reason and a counter; a template is never put in its place.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import structlog

from ai_brain.ideas import Asked, IdeaReason, Ideas, RejectedIdea, read_ideas
from ai_brain.llm.budget import Budget, Spent
from ai_brain.llm.grounding import measure
from ai_brain.llm.idea_prompt import Mood, Refused, idea_prompt
from ai_brain.llm.idea_settings import GeneratorSettings
from ai_brain.llm.provider import Failure, LanguageModel, ModelFailed, Prompt
from ai_brain.research_library import perpetual
from ai_brain.senses.news_fetcher import Headline
from ai_brain.senses.onchain_pages import Reading
from trading.domain.clock import Clock
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.venue import ExchangeName
from trading.market.tape import Tape
from trading.strategy.spec import SpecMarket

log = structlog.get_logger(__name__)

__all__ = ["FAILURES", "GeneratorSettings", "HypothesisGenerator", "Question"]

FAILURES: dict[Failure, IdeaReason] = {failure: IdeaReason(failure.name) for failure in Failure}
"""A model's failure, as the reason why there is no idea."""


@dataclass(frozen=True, slots=True)
class Question:
    """What ideas are wanted for."""

    tape: Tape
    """The market, its closed bars up to now."""
    exchange: ExchangeName = "binance"
    """Where it is; an idea is of that exchange."""
    headlines: Sequence[Headline] = ()
    onchain: Sequence[Reading] = ()
    senses: Sequence[str] = ()
    """Fresh ones only; none is told as none."""
    refused: Sequence[Refused] = ()
    """Latest first."""
    known: Container[object] = ()
    """`spec_sha256` of everything tried before."""
    mood: Mood = Mood.USUAL
    provable: str = ""
    """What the recorded data could prove of any idea, one sentence."""


class HypothesisGenerator:
    """One model, one purse.

    Args:
        model: Asked once a question, never again for the same.
        budget: The day's.
        settings: How.
        clock: Dates the ideas, and says how old the market is.
    """

    def __init__(self, model: LanguageModel, budget: Budget, settings: GeneratorSettings, clock: Clock) -> None:
        self._model = model
        self._budget = budget
        self._settings = settings
        self._clock = clock
        self._not_before_s = 0.0

    def budget_share(self) -> float:
        """How much of the model's day is spent, fraction.

        Raises:
            StateFileError: the budget's file cannot be read.
        """
        return self._budget.share()

    def budget_spent(self) -> Spent:
        """What the model cost today, and how often it was asked.

        Raises:
            StateFileError: the budget's file cannot be read.
        """
        return self._budget.spent()

    async def generate(self, question: Question) -> Ideas:
        """Ask for ideas.

        Returns:
            Strategies, what was refused with its reason, and what it cost. A question that could not be asked, or that
            brought no whole answer, is one `RejectedIdea` without a name.

        Raises:
            StateFileError: the budget's file cannot be read or written.
        """
        ideas = await self._generate(question)
        log.info(
            "ideas.generated",
            symbol=question.tape.symbol,
            mood=question.mood.value,
            specs=len(ideas.specs),
            rejected=ideas.counts,
            cost_usd=round(ideas.cost_usd, 6),
        )
        return ideas

    async def _generate(self, question: Question) -> Ideas:
        left_s = self._not_before_s - self._clock.real_s()
        if left_s > 0:
            reason = f"the provider asked to wait {left_s:.0f} s more"
            return replace(_none(IdeaReason.RATE_LIMITED, reason), retry_after_s=left_s)
        try:
            prompt = self.prompt(question)
        except DataProviderError as error:
            return _none(IdeaReason.NO_FACTS, str(error))
        if refusal := self._budget.refusal(prompt):
            return _none(IdeaReason.BUDGET_SPENT, refusal)
        return await self._ask(prompt, question)

    def prompt(self, question: Question) -> Prompt:
        """The words for a question.

        Raises:
            DataProviderError: the market cannot be measured, or its last bar is too old; names the number.
        """
        tape = question.tape
        age_s = (self._clock.now_ms() - tape.end_ms) / 1000
        limit_s = tape.interval_ms / 1000 + self._settings.max_tape_age_s
        if age_s > limit_s:
            raise DataProviderError(
                f"{tape.symbol} {tape.interval}: the last bar closed {age_s:.0f} s ago, limit {limit_s:.0f} s; "
                "no ideas are asked for an old market"
            )
        return idea_prompt(
            measure(tape),
            headlines=question.headlines,
            onchain=question.onchain,
            senses=question.senses,
            now_ms=self._clock.now_ms(),
            refused=question.refused,
            mood=question.mood,
            settings=self._settings,
            cost_round_trip_pct=self._settings.cost_round_trip_pct,
            provable=question.provable,
        )

    async def _ask(self, prompt: Prompt, question: Question) -> Ideas:
        booked_usd = self._budget.book(prompt)
        try:
            answer = await self._model.propose(prompt)
        except ModelFailed as error:
            cost_usd = booked_usd  # an answer that never came may be charged: it stays booked at its worst
            if error.is_cost_known:
                cost_usd = self._budget.settle(booked_usd, tokens_in=error.tokens_in, tokens_out=error.tokens_out)
            if error.retry_after_s is not None:
                self._not_before_s = self._clock.real_s() + error.retry_after_s
            nothing = _none(FAILURES[error.kind], str(error))
            return replace(nothing, cost_usd=cost_usd, retry_after_s=error.retry_after_s)
        cost_usd = self._budget.settle(booked_usd, tokens_in=answer.tokens_in, tokens_out=answer.tokens_out)
        asked = Asked(_market(question), answer.model, prompt.sha256, self._clock.now_ms())
        return replace(read_ideas(answer.text, asked, known=question.known), cost_usd=cost_usd)


def _none(reason: IdeaReason, detail: str) -> Ideas:
    return Ideas(rejected=(RejectedIdea("", reason, detail),))


def _market(question: Question) -> SpecMarket:
    tape = question.tape
    unified = perpetual(tape.symbol)
    symbol = unified if tape.market is Market.PERP else unified.split(":", 1)[0]
    return SpecMarket(exchange=question.exchange, symbol=symbol, timeframe=tape.interval)
