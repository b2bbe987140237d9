"""What a person types on a command line, checked: one line with the flag, the value and what to write instead."""

from __future__ import annotations

import re

from trading.domain.clock import iso, parse_iso
from trading.domain.errors import SettingsError
from trading.domain.instrument import Market
from trading.domain.market import INTERVAL_MS
from trading.market.archive_files import Ticks
from trading.market.series import Series

_SYMBOL = re.compile(r"[A-Z0-9]{4,20}")


def time_of(flag: str, text: str) -> int:
    """UTC milliseconds of a date or time as it was typed; of a year, its first day.

    Raises:
        SettingsError: not a date.
    """
    try:
        return parse_iso(f"{text}-01-01" if len(text) == len("2024") and text.isdigit() else text)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{flag} {text!r}: not a date; write it like 2024-01-31 or 2024-01-31T08:00Z") from error


def span_of_days(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """`--from` and `--to` as UTC milliseconds; None: not given.

    Raises:
        SettingsError: not a date, or the end does not come after the start.
    """
    start_ms = None if start is None else time_of("--from", start)
    end_ms = None if end is None else time_of("--to", end)
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        raise SettingsError(f"--to {iso(end_ms)}: not after --from {iso(start_ms)}; swap them")
    return start_ms, end_ms


def interval_of(text: str) -> str:
    """A bar length the lab knows.

    Raises:
        SettingsError: another one.
    """
    if text not in INTERVAL_MS:
        raise SettingsError(f"--interval {text!r}: unknown; use one of {', '.join(INTERVAL_MS)}")
    return text


def markets_of(text: str) -> list[Market]:
    """`spot`, `perp`, or both with a comma.

    Raises:
        SettingsError: another market.
    """
    names = [name.strip() for name in text.split(",")]
    known = [market.value for market in Market]
    for name in names:
        if name not in known:
            raise SettingsError(f"--market {name!r}: unknown; use {' or '.join(known)}, or both with a comma")
    return [Market(name) for name in dict.fromkeys(names)]


FETCHABLE = (*(series.value for series in Series), "funding")


def fetchable_of(text: str) -> tuple[str, ...]:
    """Any of `spot,perp,mark,premium,funding`; a perpetual's candles come with its settlements.

    Raises:
        SettingsError: another name.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in FETCHABLE:
            raise SettingsError(f"--market {name!r}: unknown; use any of {', '.join(FETCHABLE)}, with commas")
    if "perp" in names:
        names.append("funding")
    return tuple(dict.fromkeys(names))


def ticks_of(text: str) -> tuple[Ticks, ...]:
    """Any of `aggTrades,bookTicker`; empty: none.

    Raises:
        SettingsError: another name.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {kind.value.lower(): kind for kind in Ticks}
    for name in names:
        if name.lower() not in known:
            raise SettingsError(f"--ticks {name!r}: unknown; use {' or '.join(Ticks)}, or both with a comma")
    return tuple(dict.fromkeys(known[name.lower()] for name in names))


def symbol_of(text: str) -> str:
    """An exchange's own name of a market, in capitals however it was typed.

    Raises:
        SettingsError: letters that no exchange uses.
    """
    if not _SYMBOL.fullmatch(text.upper()):
        raise SettingsError(f"symbol {text!r}: not an exchange's name of a market; write it like BTCUSDT")
    return text.upper()
