"""Signs of life to whoever started the process: systemd's notify protocol, sd_notify(3).

systemd names a socket in `NOTIFY_SOCKET` and, where the unit has a watchdog, the time within which it wants to hear
again in `WATCHDOG_USEC`; a process that stays silent longer is killed and started anew. Without the two there is no
supervisor, and nothing is sent.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

import structlog

log = structlog.get_logger(__name__)

SIGNS_WITHIN = 4
"""Signs of life within the time the watchdog gives: one that was lost, or came late, must not end the lab."""


class Supervisor:
    """Tells systemd that a process is up, that it turns, and that it ends.

    Args:
        environment: `os.environ`, or a test's own.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        window = environment.get("WATCHDOG_USEC", "")
        self._every_s = int(window) / 1e6 / SIGNS_WITHIN if window.isdecimal() else None
        self._told_s: float | None = None

    def ready(self) -> None:
        """What had to be opened is open; the watchdog's time begins."""
        self._send("READY=1")

    def turns(self, now_s: float) -> None:
        """The loop turns; sent as often as the watchdog needs to hear it.

        Args:
            now_s: Monotonic real seconds.
        """
        if self._every_s is None or (self._told_s is not None and now_s - self._told_s < self._every_s):
            return
        self._told_s = now_s
        self._send("WATCHDOG=1")

    def ends(self) -> None:
        """The process was told to end, and does."""
        self._send("STOPPING=1")

    def _send(self, words: str) -> None:
        if not self._address:
            return
        # A name that begins with @ is one of Linux's abstract sockets, whose first byte is 0.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as line:
                line.sendto(words.encode(), address)
        except OSError as error:
            log.warning("supervisor.deaf", words=words, error=str(error))
