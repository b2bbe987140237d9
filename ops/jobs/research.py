"""Ideas: from the library of published effects once, from the language model within the day's budget."""

from __future__ import annotations

import asyncio
from collections import Counter

from ai_brain.desk.tuner import Work, resting
from ai_brain.evidence.power import power_of, power_sentence
from ai_brain.hypothesis_generator import Question
from ai_brain.ideas import IdeaReason, Ideas
from ai_brain.llm.idea_prompt import Mood, Refused
from ai_brain.research_library import LIBRARY, library_specs
from ops.jobs.news import tone_now
from ops.service.lab import Lab
from trading.domain.clock import DAY_MS, iso
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS, bars_per_year
from trading.market.beside import beside_spot
from trading.market.tape import Tape
from trading.strategy.spec import StrategySpec, spec_sha256

NOT_ASKED = frozenset({IdeaReason.RATE_LIMITED, IdeaReason.UNAVAILABLE, IdeaReason.BUDGET_SPENT, IdeaReason.NO_FACTS})
"""No answer came, so there was no idea to refuse."""
WORK = {Mood.USUAL: Work.IDEAS, Mood.CRAZY: Work.CRAZY_IDEAS}
"""What the tuner knows a question as."""
REFUSED_SHOWN = 12
"""Latest refusals a prompt carries, so that the same idea is not paid for again."""


async def hypothesis(lab: Lab) -> None:
    """The library on the first run; then whatever the model thinks of."""
    seed_library(lab)
    await ask_model(lab, Mood.USUAL)


async def crazy_idea(lab: Lab) -> None:
    """The same model in another mood."""
    await ask_model(lab, Mood.CRAZY)


def seed_library(lab: Lab) -> None:
    """Write the published effects for every symbol into the repository, once, those that are not known yet.

    They are about perpetuals: an exchange without them gets none.
    """
    if lab.memory.has_library or lab.main_side is not Market.PERP:
        return
    lab.memory.has_library = True
    known = lab.repository.known()
    for symbol in lab.symbols:
        for spec in library_specs(symbol, lab.clock.now_ms()):
            if spec_sha256(spec) not in known:
                _keep(lab, spec)


async def ask_model(lab: Lab, mood: Mood) -> None:
    """Ask once, about the symbol that was asked about least; keep what parses, count what does not."""
    if lab.generator is None:
        return
    if (rest := resting(lab.memory.tuned, WORK[mood])) is not None:
        lab.tell("ideas.not_asked", {"reason": str(rest.rule), "detail": rest.note})
        return
    symbol = least_asked(lab)
    question = Question(
        tape=live_tape(lab, symbol),
        exchange=lab.settings.venue.exchange,
        headlines=lab.news.as_of(lab.clock.now_ms()),
        onchain=lab.onchain.fresh(),
        senses=senses_told(lab, symbol),
        refused=[
            Refused(name, f"{reason}: {detail}") for name, reason, detail in lab.bench.graveyard.recent(REFUSED_SHOWN)
        ],
        known=lab.repository.known(),
        mood=mood,
        provable=await asyncio.to_thread(provable, lab),  # of a ledger of a million, the first time takes seconds
    )
    lab.memory.questions[symbol] += 1
    ideas = await lab.generator.generate(question)
    for spec in ideas.specs:
        _keep(lab, spec)
    _tell_refused(lab, ideas)


def least_asked(lab: Lab) -> str:
    """The symbol with the fewest questions since the start, then with the fewest living ideas that somebody had."""
    kept = Counter(spec.market.native_symbol for spec in lab.repository.living() if spec.origin.author != LIBRARY)
    return min(lab.symbols, key=lambda symbol: (lab.memory.questions[symbol], kept[symbol]))


def senses_told(lab: Lab, symbol: str) -> list[str]:
    """How the news sounds and what Fear & Greed says, as of now, a line each; a sense that is off or silent says so."""
    settings, now_ms = lab.settings, lab.clock.now_ms()
    found, index = tone_now(lab, symbol), lab.fear_greed.as_of(now_ms)
    is_asked = settings.sentiment.enabled and settings.sentiment.fear_greed_url is not None
    lines = ["the tone of headlines: off"]
    if found is not None:
        lines = [f"the tone of headlines: {found.in_words}, the newest of {iso(found.at_ms)} ({found.source})"]
    if index is not None:
        lines.append(f"Fear & Greed: {index.value} of 100, {index.words}, of {iso(index.at_ms)[:10]} ({index.source})")
    else:
        lines.append(f"Fear & Greed: {'not known today' if is_asked else 'off'}")
    if not settings.news.enabled:
        lines.append("headlines: off")
    if not settings.onchain.enabled:
        lines.append("the chain: off")
    elif not lab.onchain.fresh():
        lines.append("the chain: not known now")
    return lines


def provable(lab: Lab) -> str:
    """What the history that ideas are judged on could prove of one more."""
    research, gate, ledger = lab.settings.research, lab.settings.gate, lab.bench.ledger
    per_year = bars_per_year(research.timeframe)
    bars = int(research.history_days * DAY_MS / INTERVAL_MS[research.timeframe])
    found = power_of(
        bars,
        vault_bars=int(bars * gate.vault_pct / 100.0),
        vault_level=lab.bench.candidates.next_level(),
        trials=ledger.count() + 1,
        expected_maximum=ledger.expected_maximum(more=1),
        bars_per_year=per_year,
        confidence=gate.deflated_sharpe,
    )
    return power_sentence(found, bars_per_year=per_year)


def live_tape(lab: Lab, symbol: str) -> Tape:
    """A symbol's perpetual as it is now, not history; with the spot market beside it where that is at hand.

    Of an exchange without perpetuals, the spot market.
    """
    interval = lab.settings.research.timeframe
    tape = lab.market.tape(lab.main_side, symbol, interval)
    if tape.market is Market.SPOT:
        return tape
    try:
        beside = lab.market.tape(Market.SPOT, symbol, interval)
    except DataProviderError:
        return tape  # then the question says nothing of the basis
    return beside_spot(tape, beside)


def _tell_refused(lab: Lab, ideas: Ideas) -> None:
    """Ideas that were refused are counted; a question that was not asked is told, and is no idea."""
    for idea in ideas.rejected:
        if idea.reason in NOT_ASKED:
            lab.tell("ideas.not_asked", {"reason": str(idea.reason), "detail": idea.detail})
            continue
        lab.memory.refused_ideas[str(idea.reason)] += 1
        lab.tell("idea.refused", {"name": idea.name, "reason": str(idea.reason), "detail": idea.detail})


def _keep(lab: Lab, spec: StrategySpec) -> None:
    lab.repository.save(spec)
    lab.tell("idea.written", {"id": spec.id, "name": spec.name, "type": str(spec.type), "author": spec.origin.author})
