"""What goes wrong in days on which everything may: endpoints that are struck, and how; see `sandbox.faults`."""

from __future__ import annotations

ORDERS = [f"{method} {path}" for path in ("/api/v3/order", "/fapi/v1/order") for method in ("POST", "GET", "DELETE")]
READS = [
    "GET /api/v3/*", "GET /fapi/v1/*", "GET /fapi/v2/*", "GET /fapi/v3/*", "GET /sapi/*", "GET /api/v3/myTrades",
    "GET /fapi/v1/userTrades", "GET /fapi/v1/income", "GET /fapi/v1/premiumIndex", "GET /api/v3/account",
]  # fmt: skip
FEEDS = ["GET /feed.xml", "POST /v1beta*"]
KINDS = [
    "timeout_before", "timeout_after", "lost_answer", "429", "418", "5xx", "500", "drop_socket", "half_fill", "html",
    "lie_stale", "delay:200", "reject:-1003", "reject:-1006", "reject:-1007", "reject:-1021", "reject:-2010",
    "reject:-2019", "reject:-5022", "reject:-2015",
]  # fmt: skip
SOCKETS = ["drop_socket", "silence", "half_open"]
