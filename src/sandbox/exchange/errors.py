"""What the exchange says no with: Binance's codes, messages and HTTP statuses."""

from __future__ import annotations


class BinanceError(Exception):
    """A refusal as it goes over the wire."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status

    def body(self) -> dict[str, object]:
        """The JSON of the answer."""
        return {"code": self.code, "msg": self.message}


class SandboxError(Exception):
    """Bad input at the door: one line for whoever started the sandbox."""


MESSAGES = {
    -1000: "An unknown error occurred while processing the request.",
    -1003: "Too many requests; current limit is 6000 request weight per 1 MINUTE. "
    "Please use the websocket for live updates to avoid polling the API.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1013: "Filter failure: PERCENT_PRICE",
    -1015: "Too many new orders; current limit is 300 orders per TEN_SECONDS.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1120: "Invalid interval.",
    -1125: "This listenKey does not exist.",
    -1121: "Invalid symbol.",
    -2010: "Account has insufficient balance for requested action.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2019: "Margin is insufficient.",
    -2022: "ReduceOnly Order is rejected.",
    -4003: "Quantity less than or equal to zero.",
    -4046: "No need to change margin type.",
    -4047: "Margin type cannot be changed if there exists open orders.",
    -4048: "Margin type cannot be changed if there exists position.",
    -4059: "No need to change position side.",
    -4061: "Order's position side does not match user's setting.",
    -4108: "Symbol is on delivering or delivered or settling or closed or pre-trading.",
    -4116: "ClientOrderId is duplicated.",
    -5021: "Due to the order could not be filled immediately, the FOK order has been rejected. "
    "The order will not be recorded in the order history.",
    -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected. "
    "The order will not be recorded in the order history.",
}
"""Codes used without a message of their own."""


def refusal(code: int, message: str | None = None, *, status: int = 400) -> BinanceError:
    """A refusal with the code's usual message, or another."""
    return BinanceError(code, message or MESSAGES.get(code, "Request rejected."), status)


def missing(name: str) -> BinanceError:
    """-1102, a parameter that has to be there."""
    return BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
