"""`./lab universe record`, and what the service does once a day: the venue is asked what it lists now."""

from __future__ import annotations

import asyncio
from functools import partial

from ops.environment import find_home, read_environment
from ops.lab_clock import lab_clock
from ops.settings import read_settings
from ops.universe.saved import line_of
from ops.venues import make_records
from trading.domain.errors import DataProviderError
from trading.domain.instrument import Market
from trading.exchange.open_venue import Records
from trading.market.universe_snapshot import Kind, of_document
from trading.market.universe_store import UniverseStore


def run_record() -> int:
    """Ask the venue now and keep what it says.

    Raises:
        NetworkDownError: the venue does not answer.
        DataProviderError: its answer is of no use.
    """
    home = find_home()
    settings, environment = read_settings(home.settings_file), read_environment(home)
    clock, source = lab_clock(settings), source_of(settings.venue.base_url, is_demo=environment.binance_testnet)

    async def ask() -> list[str]:
        venue = make_records(settings, environment, clock, home)
        try:
            return await record(venue, UniverseStore(home.tapes), source)
        finally:
            await venue.close()

    for line in asyncio.run(ask()):
        print(line)
    return 0


async def record(venue: Records, store: UniverseStore, source: str) -> list[str]:
    """Ask for every document and keep each as it comes; what became of them, a line each.

    The margin tables come last: asking for them needs a key, and one without the right fails.

    Raises:
        NetworkDownError: the venue does not answer.
        DataProviderError: its answer is of no use, lacks most of what traded before, or is of another market than
            the one that is held.
    """
    newest = await asyncio.to_thread(store.newest, Kind.PERP)
    if newest is not None and newest.source.startswith("http") != source.startswith("http"):
        raise DataProviderError(
            f"{store.root}: holds what {newest.source} lists, and {source} is asked: another market; keep each in a "
            "home of its own"
        )
    # The time in the exchange info of futures is not to be relied on, says the venue: its clock is asked instead.
    now_ms = await venue.time_ms()
    asked = (
        partial(venue.exchange_info, Market.SPOT),
        partial(venue.exchange_info, Market.PERP),
        venue.funding_info,
        venue.leverage_brackets,
    )
    lines = list[str]()
    for ask in asked:
        document = await ask()
        if document:  # else no key, or no contract with terms of its own
            lines.append(await asyncio.to_thread(_kept, document, store, source, now_ms))
    return lines


def _kept(document: object, store: UniverseStore, source: str, at_ms: int) -> str:
    """Spot's document takes a tenth of a second to read: in a thread, so that the loop goes on."""
    snapshot = of_document(document, source, at_ms=at_ms)
    return line_of(snapshot, *store.save(snapshot))


def source_of(base_url: str | None, *, is_demo: bool) -> str:
    """Who is asked, for whoever reads a snapshot later; an address where it is not Binance itself."""
    return base_url or ("https://demo.binance.com" if is_demo else "Binance")
