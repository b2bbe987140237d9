"""What an alert is known by, and which events end it. Pure.

A key is the event's name, then what makes it another alert than its namesakes, then what it is about:
`risk.halted:DAILY_LOSS`, `carry.margin_low:position=c-000004:symbol=ETHUSDT`. So what is wrong with one position
neither hides nor ends what is wrong with another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trading.domain.events import Event

TELLING_APART = ("reason", "kind", "job", "strategy_id", "id", "market")
"""Facts of which the first that is there makes one alert another one than its namesake."""
SUBJECTS = ("strategy", "position", "symbol", "settlement_ms", "file")
"""Facts that say what an alert is about; each that is there stands in its key, by name."""
LASTING = ("cycle.degraded",)
"""Alerts on a state whose reason may change while it lasts: told apart by nothing."""
ENDS: Mapping[str, tuple[str, ...]] = {
    "lab.started": (
        "job.parked",
        "job.failing",
        "job.ended_service",
        "carry.key_refused",
        "carry.unattended",
        "state.set_aside",  # this and the next ones: alerts of an older lab, notices now
        "carry.unwound",
        "carry.resurrection_refused",
    ),
    "stop.released": ("stop", "stop.not_flat", "risk.flat", "risk.not_flat"),
    "stop.flat": ("stop.not_flat", "risk.not_flat"),
    "risk.released": ("risk.halted", "risk.flat", "carry.books_disagree", "carry.difference"),
    "risk.book_fits": ("risk.book_too_large",),
    "carry.books_agree": ("risk.halted:EQUITY_IDENTITY",),
    "carry.key_taken": ("carry.key_refused",),
    "carry.opened": ("risk.flat",),
    "carry.closed": ("risk.book_too_large",),
}
"""Event -> alerts of the whole account or lab that it ends: what they told of is over, whatever it was about."""
ENDS_OF_THE_SAME: Mapping[str, Mapping[str, str]] = {
    "job.recovered": {"job.failing": "job"},
    "parity.same": {"parity.differs": "id"},
    "parity.ended": {"parity.differs": "id"},
    "risk.flat": {"risk.not_flat": "position"},
    "carry.resumed": {"carry.in_doubt": "symbol"},
    "carry.rebalanced": {"carry.difference:LATE_ORDER": "symbol", "carry.difference:ORDER_RESTING": "symbol"},
    "carry.opened": {"carry.in_doubt": "symbol"},
    "carry.funding_booked": {"carry.funding_missing": "position", "carry.funding_differs": "position"},
    "carry.margin_added": {"carry.margin_low": "position"},
    "carry.closed": {
        "carry.margin_low": "position",
        "carry.close_incomplete": "position",
        "carry.funding_missing": "position",
        "carry.funding_differs": "position",
        "risk.not_flat": "position",
        "carry.in_doubt": "symbol",
        "strategy.expired": "spec",
    },
}
"""Event -> alerts that it ends, each with the fact of the event that says of which: of that job, strategy, position or
symbol only.
"""


def alert_key_of(event: Event) -> str:
    """What an alert is about: its event, which reason, job or strategy of it, and of what; two halts are two alerts."""
    if event.name in LASTING:
        return event.name
    if "alert_key" in event.facts:
        return str(event.facts["alert_key"])
    which = next((str(event.facts[fact]) for fact in TELLING_APART if fact in event.facts), "")
    about = [f"{fact}={event.facts[fact]}" for fact in SUBJECTS if fact in event.facts]
    return ":".join([event.name, *([which] if which else []), *about])


def ended_by(event: Event, open_keys: Iterable[str]) -> list[str]:
    """Keys of the open alerts that an event ends."""
    everything, of_the_same = ENDS.get(event.name, ()), ENDS_OF_THE_SAME.get(event.name, {})
    return [
        key
        for key in open_keys
        if key in everything
        or key.partition(":")[0] in everything
        or any(_is_of(key, alert, fact, event.facts.get(fact)) for alert, fact in of_the_same.items())
    ]


def approval_key_of(strategy_id: object, since: object) -> str:
    """What the question about a strategy is told once by: what comes to review again is asked about again."""
    return f"approval:{strategy_id}:{since}"


def _is_of(key: str, alert: str, fact: str, value: object) -> bool:
    """An alert of that name, about that one; what an older lab filed does not say about which, and is over with any."""
    if fact not in SUBJECTS:
        return key == f"{alert}:{value}"
    if key != alert and not key.startswith(f"{alert}:"):
        return False
    about = [part for part in key.split(":") if part.startswith(f"{fact}=")]
    return not about or about == [f"{fact}={value}"]
