"""What systemd hears: ready, a sign of life as often as its watchdog needs one, and the end; without it, nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.service.supervisor import Supervisor


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def heard(listener: socket.socket) -> list[str]:
    words = []
    while True:
        try:
            words.append(listener.recv(1024).decode())
        except BlockingIOError:
            return words


def test_ready_turns_and_ends_are_heard_and_no_oftener_than_needed(systemd: socket.socket) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": str(systemd.getsockname()), "WATCHDOG_USEC": "60000000"})
    supervisor.ready()
    for now_s in (100.0, 100.2, 114.9, 115.0, 129.0, 131.0):
        supervisor.turns(now_s)
    supervisor.ends()
    assert heard(systemd) == ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


def test_a_unit_without_a_watchdog_hears_no_signs_of_life(systemd: socket.socket) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": str(systemd.getsockname())})
    supervisor.turns(1.0)
    supervisor.ready()
    assert heard(systemd) == ["READY=1"]


def test_an_abstract_socket_is_reached_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0lab-test-of-notify")
        listener.setblocking(False)
        Supervisor({"NOTIFY_SOCKET": "@lab-test-of-notify"}).ready()
        assert heard(listener) == ["READY=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "1"}])
def test_nobody_there_is_no_error(environment: dict[str, str]) -> None:
    supervisor = Supervisor(environment)
    supervisor.ready()
    supervisor.turns(1.0)
    supervisor.ends()
