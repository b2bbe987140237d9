"""`./lab page` as a process: it answers, a second one on its port is told in one line, and it ends when told to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import httpx

from tests.ops.dashboard.rooms import beat
from trading.storage.home import Home


def start(home: Home, port: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "ops.cli", "page", "--port", str(port)]
    environment = {**os.environ, "LAB_HOME": str(home.root)}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_answers_until_it_is_told_to_end_and_a_taken_port_is_one_line(home: Home) -> None:
    beat(home)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    first = start(home, port)
    assert first.stdout is not None
    assert first.stdout.readline() == f"the page of {home.root}: http://127.0.0.1:{port}/ , end with Ctrl-C\n"
    answer = httpx.get(f"http://127.0.0.1:{port}/", timeout=10)
    assert (answer.status_code, "AI Trading Lab" in answer.text) == (200, True)
    second = start(home, port)
    out, error = second.communicate(timeout=20)
    assert (second.returncode, out) == (2, "")
    assert error.startswith(f"lab: page.port={port}: Address already in use")
    assert error.endswith("; choose another with --port\n")
    assert error.count("\n") == 1
    first.send_signal(signal.SIGTERM)
    _, error = first.communicate(timeout=10)
    assert (first.returncode, error) == (0, "")
