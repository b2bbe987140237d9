"""The bus hands every event on, and a failing listener harms nobody."""

from __future__ import annotations

from structlog.testing import capture_logs

from trading.domain.events import Event
from trading.journal.bus import Bus


def test_subscribers_hear_everything_in_the_order_in_which_they_asked() -> None:
    bus, heard = Bus(), list[str]()
    bus.subscribe(lambda event: heard.append("first " + event.name))
    bus.subscribe(lambda event: heard.append("second " + event.name))
    bus.publish(Event(1, "carry.opened"))
    bus.publish(Event(2, "data.blocked"))
    assert heard == ["first carry.opened", "second carry.opened", "first data.blocked", "second data.blocked"]


def test_a_failing_subscriber_is_reported_and_the_others_still_hear() -> None:
    bus, heard = Bus(), list[Event]()

    def broken(event: Event) -> None:
        raise RuntimeError("a bug")

    bus.subscribe(broken, name="the notifier")
    bus.subscribe(heard.append)
    with capture_logs() as logs:
        bus.publish(Event(1, "carry.opened"))
    assert len(heard) == 1
    assert logs[0]["subscriber"] == "the notifier"
