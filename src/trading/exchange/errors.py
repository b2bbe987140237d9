"""What an error of the venue means for us: one table by the venue's code, one by ccxt's class, nearest first.

The rule: for a call that changes something at the venue, only what the venue itself refused is a no. A time-out, a torn
socket, a 5xx, an unknown class leave doubt: look the order up, never send it again. Classes are named, not imported, so
that nothing here loads ccxt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto

from trading.domain.errors import (
    DataProviderError,
    KeyRefusedError,
    NetworkDownError,
    OrderRejectedError,
    OutcomeUnknownError,
    RateLimitError,
    TradingEngineError,
)

DEFAULT_RETRY_AFTER_S = 60.0
"""Stay away this long when the venue says "too many requests" without a number."""

_TIMESTAMP_CODE = -1021
_KEY_CODES = frozenset({-1022, -2014, -2015})
"""The signature does not fit the key, the key has no such form, the key may not (any more, or from here)."""
_CODE = re.compile(r'"code"\s*:\s*"?(-?\d+)')
_LONGEST_WORDS = 300


class Meaning(Enum):
    """What an error says about the request."""

    REFUSED = auto()
    """The venue looked at it and said no."""
    SLOW_DOWN = auto()
    """Not now: stay away for a while."""
    NO_ANSWER = auto()
    """Nothing came back."""
    DOUBT = auto()
    """Something came back, or broke, that does not say what became of the request."""


BY_CODE: Mapping[int, Meaning] = {
    -1000: Meaning.DOUBT,  # unknown error while processing
    -1001: Meaning.DOUBT,  # internal error, unable to process
    -1006: Meaning.DOUBT,  # unexpected response from the message bus, execution status unknown
    -1007: Meaning.DOUBT,  # time-out waiting for the backend, execution status unknown
    -1003: Meaning.SLOW_DOWN,  # too many requests
    -1008: Meaning.SLOW_DOWN,  # server busy, the request was dropped
    -1015: Meaning.SLOW_DOWN,  # too many orders
    -4116: Meaning.DOUBT,  # futures: this client id is taken, so an order of ours may rest there
}
"""Codes whose meaning the class does not tell. Every other code is the venue's own no."""

BY_CLASS: Mapping[str, Meaning] = {
    "DDoSProtection": Meaning.SLOW_DOWN,
    "RateLimitExceeded": Meaning.SLOW_DOWN,
    "InvalidNonce": Meaning.REFUSED,
    "ChecksumError": Meaning.DOUBT,
    "RequestTimeout": Meaning.NO_ANSWER,
    "ExchangeNotAvailable": Meaning.NO_ANSWER,
    "OnMaintenance": Meaning.DOUBT,
    "NetworkError": Meaning.NO_ANSWER,
    "NullResponse": Meaning.DOUBT,
    "BadResponse": Meaning.DOUBT,
    "CancelPending": Meaning.DOUBT,
    "OperationFailed": Meaning.DOUBT,
    "AccountNotEnabled": Meaning.REFUSED,
    "AccountSuspended": Meaning.REFUSED,
    "PermissionDenied": Meaning.REFUSED,
    "AuthenticationError": Meaning.REFUSED,
    "ArgumentsRequired": Meaning.REFUSED,
    "BadSymbol": Meaning.REFUSED,
    "BadRequest": Meaning.REFUSED,
    "OperationRejected": Meaning.REFUSED,
    "InsufficientFunds": Meaning.REFUSED,
    "InvalidAddress": Meaning.REFUSED,
    "DuplicateOrderId": Meaning.DOUBT,
    "InvalidOrder": Meaning.REFUSED,
    "NotSupported": Meaning.REFUSED,
    "InvalidProxySettings": Meaning.REFUSED,
    "ExchangeClosedByUser": Meaning.DOUBT,
}
"""By ccxt class, looked up along the error's own line of parents. A bare `ExchangeError` is no entry: ccxt raises it
for a torn answer too, so it is a no only when it carries the venue's code."""


def meaning(error: Exception) -> Meaning:
    """What a ccxt error says about the request; unknown is doubt, never "temporary"."""
    code, text = venue_code(error), str(error)
    if "uplicate order" in text:
        return Meaning.DOUBT  # -2010 "Duplicate order sent.": an order with this client id is there already
    if code is not None and code in BY_CODE:
        return BY_CODE[code]
    for parent in type(error).__mro__:
        if (known := BY_CLASS.get(parent.__name__)) is not None:
            return _with_status(known, error)
    return Meaning.REFUSED if code is not None and _status(error) < 500 else Meaning.DOUBT


def _with_status(known: Meaning, error: Exception) -> Meaning:
    """A 5xx answered, but says nothing about the request."""
    return Meaning.DOUBT if _status(error) >= 500 and known in (Meaning.NO_ANSWER, Meaning.REFUSED) else known


def translate(error: Exception, *, writes: bool, where: str) -> TradingEngineError:
    """The lab's error for a ccxt error.

    Args:
        error: As ccxt raised it; `http_status` and `http_headers` were noted on it where there was an answer.
        writes: The call changes something at the venue (an order, a cancel, a transfer).
        where: The call in words, for the message.
    """
    found, code = meaning(error), venue_code(error)
    words = f"{where}: {_words(error)}"
    if found is Meaning.SLOW_DOWN:
        wait_s = retry_after_s(error)
        return RateLimitError(f"{words}; nothing is sent for {wait_s:g} s", retry_after_s=wait_s)
    if writes:
        if found is Meaning.REFUSED:
            return OrderRejectedError(words, code=code)
        return OutcomeUnknownError(f"{words}; look it up by its client id, do not send it again")
    if found is Meaning.NO_ANSWER:
        return NetworkDownError(f"{words}; check the network")
    if code in _KEY_CODES:
        return KeyRefusedError(
            f"{words}; it was revoked or has lapsed, its secret is another, or this address is not its own"
        )
    return DataProviderError(words)


def is_clock_error(error: Exception) -> bool:
    """The venue refused our time stamp (-1021)."""
    return venue_code(error) == _TIMESTAMP_CODE or type(error).__name__ == "InvalidNonce"


def venue_code(error: Exception) -> int | None:
    """The venue's own code in the error; None: it carries none."""
    match = _CODE.search(str(error))
    noted = getattr(error, "venue_code", None)
    if match:
        return int(match.group(1))
    return noted if isinstance(noted, int) else None


def retry_after_s(error: Exception) -> float:
    """How long the venue asked us to stay away, seconds."""
    headers = getattr(error, "http_headers", None)
    if isinstance(headers, Mapping):
        for name, value in headers.items():
            if str(name).lower() == "retry-after" and re.fullmatch(r"\d+(\.\d+)?", str(value)):
                return float(value)
    return DEFAULT_RETRY_AFTER_S


def _status(error: Exception) -> int:
    status = getattr(error, "http_status", None)
    return status if isinstance(status, int) else 0


_ANSWER = re.compile(r'\w+ \{"code":"?(-?\d+)"?,"msg":"([^"]*)"\}')
"""The venue's own words in what ccxt says: its name, then the answer as JSON."""
_SECRET = re.compile(r"(signature|apiKey|listenKey|timestamp|recvWindow)=[^&\s]+&?")


def _words(error: Exception) -> str:
    """The error in one short line, without signatures or keys."""
    text = _SECRET.sub("", _ANSWER.sub(r"\2 (\1)", " ".join(str(error).split()))) or "no words"
    return f"{type(error).__name__}: {text[:_LONGEST_WORDS]}"
