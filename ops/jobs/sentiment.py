"""Every hour: the Fear & Greed index. A day without it is a day without it."""

from __future__ import annotations

from ops.service.lab import Lab


async def run(lab: Lab) -> None:
    """Ask once; the value goes to the next prompt.

    Raises:
        DataProviderError: no answer, or one that makes no sense.
    """
    known = lab.fear_greed.as_of(lab.clock.now_ms())
    found = await lab.fear_greed.fetch()
    if found is None:
        return  # switched off
    lab.tell("fear_greed.fetched", {"value": found.value, "words": found.words})
    if known is None or known.at_ms != found.at_ms:
        facts = {"value": found.value, "words": found.words, "source": found.source}
        lab.senses.note("fear_greed", at_ms=found.at_ms, known_ms=found.known_ms, facts=facts)
