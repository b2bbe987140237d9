"""Every half hour: what Bitcoin's own chain tells. A page that fails is told, never filled in."""

from __future__ import annotations

from ops.service.lab import Lab
from trading.domain.errors import DataProviderError


async def run(lab: Lab) -> None:
    """One round over all pages; fresh readings go to the next prompt.

    Raises:
        DataProviderError: no page answered; names the first.
    """
    if not lab.settings.onchain.enabled:
        return
    began_ms = lab.clock.now_ms()
    found = await lab.onchain.fetch()
    told = {reading.name: reading.value for reading in found.readings}
    lab.tell("onchain.fetched", {"readings": told, "failures": dict(found.failures)})
    for reading in (reading for reading in found.readings if reading.fetched_at_ms >= began_ms):
        facts = {"name": reading.name, "value": reading.value, "unit": reading.unit, "source": reading.source}
        lab.senses.note("onchain", at_ms=reading.at_ms, known_ms=reading.fetched_at_ms, facts=facts)
    if found.failures and len(found.failures) == lab.onchain.sources:
        address, why = next(iter(found.failures.items()))
        raise DataProviderError(f"none of {lab.onchain.sources} pages of the chain gave a reading; {address}: {why}")
