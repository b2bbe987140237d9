"""Which time the lab keeps: the system's, or that of the sandbox it lives beside."""

from __future__ import annotations

import httpx

from ops.sandbox_process import timeline_of
from ops.settings import LabSettings
from trading.domain.clock import Clock
from trading.domain.errors import NetworkDownError


def lab_clock(settings: LabSettings) -> Clock:
    """The lab's time: the system's, or where the settings say so the sandbox's present line.

    Raises:
        NetworkDownError: there is no sandbox at `venue.base_url`.
    """
    clock = Clock()
    if not settings.venue.follow_sandbox_clock:
        return clock
    try:
        answer = httpx.get(f"{settings.venue.base_url}/sandbox/clock", timeout=5.0)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise NetworkDownError(
            f"venue.base_url={settings.venue.base_url}: no sandbox answers there: {error}"
        ) from error
    clock.follow(timeline_of(answer.json()))
    return clock
