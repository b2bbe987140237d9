"""Every half hour: what Bitcoin's own chain tells. A page that fails is told, never filled in."""

from __future__ import annotations

from ops.lab import Lab
from trading.domain.errors import DataProviderError


async def run(lab: Lab) -> None:
    """One round over all pages; fresh readings go to the next prompt.

    Raises:
        DataProviderError: no page answered; names the first.
    """
    found = await lab.onchain.fetch()
    told = {reading.name: reading.value for reading in found.readings}
    lab.tell("onchain.fetched", {"readings": told, "failures": dict(found.failures)})
    if found.failures and len(found.failures) == lab.onchain.sources:
        address, why = next(iter(found.failures.items()))
        raise DataProviderError(f"none of {lab.onchain.sources} pages of the chain gave a reading; {address}: {why}")
