"""The bus hands every event on, and a failing listener harms nobody."""

from __future__ import annotations

from structlog.testing import capture_logs

from trading.domain.events import Event
from trading.journal.bus import Bus


def test_subscribers_hear_in_order_what_their_pattern_names() -> None:
    bus, heard = Bus(), list[str]()
    bus.subscribe(lambda event: heard.append("all " + event.name))
    bus.subscribe(lambda event: heard.append("carry " + event.name), pattern="carry.*")
    bus.publish(Event(1, "carry.opened"))
    bus.publish(Event(2, "data.blocked"))
    assert heard == ["all carry.opened", "carry carry.opened", "all data.blocked"]


def test_a_failing_subscriber_is_reported_and_the_others_still_hear() -> None:
    bus, heard = Bus(), list[Event]()

    def broken(event: Event) -> None:
        raise RuntimeError("a bug")

    bus.subscribe(broken, name="the notifier")
    bus.subscribe(heard.append)
    with capture_logs() as logs:
        bus.publish(Event(1, "carry.opened"))
    assert len(heard) == 1
    assert bus.failures == 1
    assert logs[0]["subscriber"] == "the notifier"


def test_an_ended_subscription_hears_nothing_more() -> None:
    bus, heard = Bus(), list[Event]()
    end = bus.subscribe(heard.append)
    end()
    end()
    bus.publish(Event(1, "carry.opened"))
    assert heard == []
