"""Every error class of ccxt walks through the table, and the venue's own codes after it."""

from __future__ import annotations

import ccxt
import pytest
from ccxt.base.errors import error_hierarchy

from trading.domain.errors import (
    DataProviderError,
    KeyRefusedError,
    NetworkDownError,
    OrderRejectedError,
    OutcomeUnknownError,
    RateLimitError,
)
from trading.exchange.errors import BY_CLASS, DEFAULT_RETRY_AFTER_S, Meaning, meaning, retry_after_s, translate


def walk(tree: dict[str, dict]) -> list[str]:
    return [name for parent, children in tree.items() for name in (parent, *walk(children))]


CLASSES = sorted(set(walk(error_hierarchy)))
DEFINITE = {
    "AccountNotEnabled", "AccountSuspended", "AddressPending", "ArgumentsRequired", "AuthenticationError", "BadRequest",
    "BadSymbol", "ContractUnavailable", "InsufficientFunds", "InvalidAddress", "InvalidNonce", "InvalidOrder",
    "InvalidProxySettings", "ManualInteractionNeeded", "MarginModeAlreadySet", "MarketClosed", "NoChange",
    "NotSupported", "OperationRejected", "OrderImmediatelyFillable", "OrderNotCached", "OrderNotFillable",
    "OrderNotFound", "PermissionDenied", "RestrictedLocation",
}  # fmt: skip
SLOW = {"DDoSProtection", "RateLimitExceeded"}
SILENT = {"ExchangeNotAvailable", "NetworkError", "RequestTimeout"}


def error(name: str, text: str = "binance says no", **noted: object) -> Exception:
    made = getattr(ccxt, name)(text) if hasattr(ccxt, name) else getattr(ccxt.base.errors, name)(text)
    for key, value in noted.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_of_ccxt_has_one_meaning_for_an_order_and_one_for_a_read(name: str):
    sent = translate(error(name), writes=True, where="spot BTCUSDT buy lab-1")
    read = translate(error(name), writes=False, where="spot BTCUSDT klines")
    if name in SLOW:
        assert type(sent) is type(read) is RateLimitError
    elif name in DEFINITE:
        assert (type(sent), type(read)) == (OrderRejectedError, DataProviderError)
    elif name in SILENT:
        assert (type(sent), type(read)) == (OutcomeUnknownError, NetworkDownError)
    else:
        assert (type(sent), type(read)) == (OutcomeUnknownError, DataProviderError)
    assert "spot BTCUSDT" in str(sent)
    assert "\n" not in str(sent)


def test_the_walk_saw_the_whole_tree_and_the_table_names_only_classes_that_exist():
    assert len(CLASSES) >= 40
    assert set(BY_CLASS) <= set(CLASSES)
    assert set(CLASSES) >= DEFINITE


def test_a_class_the_table_does_not_know_is_unknown_and_never_temporary():
    class Novelty(ccxt.BaseError):
        pass

    assert meaning(Novelty("?")) is Meaning.DOUBT
    assert isinstance(translate(Novelty("?"), writes=True, where="x"), OutcomeUnknownError)


@pytest.mark.parametrize(
    ("name", "code", "words", "expected"),
    [
        ("RequestTimeout", -1007, "Timeout waiting for response", OutcomeUnknownError),
        ("OperationFailed", -1006, "execution status unknown", OutcomeUnknownError),
        ("OperationFailed", -1001, "Internal error", OutcomeUnknownError),
        ("OperationFailed", -1008, "Server is currently overloaded", RateLimitError),
        ("ExchangeError", -4131, "counterparty's best price", OrderRejectedError),
        ("ExchangeError", None, "torn payload", OutcomeUnknownError),
        ("InvalidOrder", -2010, "Duplicate order sent.", OutcomeUnknownError),
        ("InvalidOrder", -4116, "ClientOrderId is duplicated", OutcomeUnknownError),
        ("InsufficientFunds", -2019, "Margin is insufficient", OrderRejectedError),
        ("OrderNotFillable", -5022, "could not be executed as maker", OrderRejectedError),
        ("InvalidNonce", -1021, "outside of the recvWindow", OrderRejectedError),
    ],
)
def test_the_venues_own_code_decides_where_the_class_does_not(
    name: str, code: int | None, words: str, expected: type[Exception]
):
    body = f'binance {{"code":{code},"msg":"{words}"}}' if code is not None else words
    for carried in (error(name, body), error(name, words, venue_code=code)):
        told = translate(carried, writes=True, where="order")
        assert type(told) is expected
        if isinstance(told, OrderRejectedError):
            assert told.code == code


@pytest.mark.parametrize("code", [-2015, -2014, -1022])
def test_a_key_that_is_not_taken_has_an_error_of_its_own_and_an_order_is_a_plain_no(code: int):
    refused = error("AuthenticationError", f'binance {{"code":{code},"msg":"Invalid"}}')
    assert type(translate(refused, writes=False, where="spot account")) is KeyRefusedError
    assert type(translate(refused, writes=True, where="order")) is OrderRejectedError


def test_a_server_error_is_doubt_even_where_the_class_sounds_final():
    told = translate(error("BadRequest", "502", http_status=502), writes=True, where="order")
    assert isinstance(told, OutcomeUnknownError)
    read = translate(error("ExchangeNotAvailable", "502", http_status=502), writes=False, where="klines")
    assert type(read) is DataProviderError, "something answered, so the network is up"


def test_the_wait_the_venue_asks_for_is_read_from_its_header():
    assert retry_after_s(error("DDoSProtection", http_headers={"retry-after": "17"})) == 17.0
    assert retry_after_s(error("DDoSProtection", http_headers={"Retry-After": "soon"})) == DEFAULT_RETRY_AFTER_S
    assert retry_after_s(error("DDoSProtection")) == DEFAULT_RETRY_AFTER_S


def test_no_signature_or_key_reaches_a_message():
    text = "binance GET https://api.binance.com/api/v3/order?symbol=B&timestamp=1&signature=c0ffee&apiKey=abc"
    told = str(translate(error("RequestTimeout", text), writes=True, where="order"))
    assert "c0ffee" not in told
    assert "abc" not in told
    assert "symbol=B" in told
