"""Canaries in every secret, faults at every door, and a search of all that the lab wrote, printed or sent."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import sandbox.gemini
import sandbox.telegram
from tests.ops.world import approved_carry, end, furnish, open_world, start_service, wait_for_beat
from trading.storage.home import Home

KEY, SECRET = "CanaryBinanceKey" + "k" * 48, "CanaryBinanceSecret" + "s" * 45
SECRETS = {
    "BINANCE_API_KEY": KEY,
    "BINANCE_API_SECRET": SECRET,
    "TELEGRAM_TOKEN": sandbox.telegram.TOKEN,
    "GEMINI_API_KEY": sandbox.gemini.API_KEY,
    "MARKET_DB_URL": "postgresql://lab:CanaryDatabasePassword@127.0.0.1:9/market",
    "AWS_ACCESS_KEY_ID": "CanaryAwsKey",
    "AWS_SECRET_ACCESS_KEY": "CanaryAwsSecret",
}
CANARIES = [*list(SECRETS.values())[:4], "CanaryDatabasePassword", "CanaryAwsKey", "CanaryAwsSecret"]
DOORS = (
    "POST /api/v3/order", "POST /fapi/v1/order", "GET /api/v3/account", "GET /fapi/v2/balance", "GET /sapi/*",
    "GET /fapi/v1/premiumIndex", "POST /bot*", "POST /v1beta*", "POST /fapi/v1/listenKey",
)  # fmt: skip
KINDS = ("reject:-2015", "html", "503", "lost_answer")


def lab(home: Home, *words: str, **changed: str) -> bytes:
    """What a command of the lab prints; it may fail, that is what it is called for."""
    environment = {**os.environ, "LAB_HOME": str(home.root), **changed}
    done = subprocess.run([sys.executable, "-m", *words], env=environment, capture_output=True, timeout=60, check=False)
    return done.stdout + done.stderr


def written(home: Home) -> Iterator[tuple[str, bytes]]:
    """Every file of the home as it reads unpacked, but for `.env`, where secrets live."""
    for path in sorted(home.root.rglob("*")):
        if path.is_file() and path.name != ".env":
            raw = path.read_bytes()
            yield str(path.relative_to(home.root)), gzip.decompress(raw) if path.suffix == ".gz" else raw


@pytest.mark.timeout(180)
def test_no_secret_is_in_any_file_message_or_line_whatever_fails(tmp_path: Path) -> None:
    world = open_world(tmp_path / "tape", scale=60.0, words=("--api-key", KEY, "--api-secret", SECRET))
    home = Home(tmp_path / "home").make()
    try:
        furnish(home, world.url)
        with home.settings_file.open("a") as file:
            file.write(f"gemini: {{base_url: '{world.url}'}}\n")
        lines = [f"{name}={value}" for name, value in SECRETS.items() if not name.startswith("AWS")]
        home.env_file.write_text("\n".join([*lines, "TELEGRAM_CHAT_ID=42", "LIVE_TRADING=YES", ""]))
        approved_carry(home)
        began = time.time()
        service = start_service(home)
        try:
            wait_for_beat(home, service, after=began)
            faults = [{"match": door, "kind": kind, "times": 1} for door in DOORS for kind in KINDS]
            httpx.post(f"{world.url}/sandbox/faults", json=faults).raise_for_status()
            time.sleep(8.0)
            said = [("doctor", lab(home, "ops.cli", "doctor")), ("status", lab(home, "ops.get_status"))]
        finally:
            end(service)
        httpx.delete(f"{world.url}/sandbox/faults").raise_for_status()
        said += [
            ("doctor with a wrong secret", lab(home, "ops.cli", "doctor", BINANCE_API_SECRET="CanaryAwsSecret")),
            ("copy", lab(home, "ops.cli", "history", "copy")),
            ("sync", lab(home, "ops.cli", "history", "sync", "s3://b/p", **aws())),
            ("test message", lab(home, "ops.send_test_notification", TELEGRAM_TOKEN="1234567:CanaryAwsKey")),
        ]
        chat = httpx.get(f"{world.url}/sandbox/telegram").content
    finally:
        world.close()
    struck = home.log_file.read_text(encoding="utf-8")
    assert "-2015" in struck or "Invalid API-key" in struck, "no fault was met: nothing is proven"
    assert b"key rights" in said[0][1]
    found = [
        (where, canary)
        for where, content in (*written(home), *said, ("chat", chat))
        for canary in CANARIES
        if canary.encode() in content
    ]
    assert found == []


def aws() -> dict[str, str]:
    """Credentials of an object storage that is not there."""
    return {
        name: value for name, value in SECRETS.items() if name.startswith("AWS")
    } | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "us-east-1"}  # fmt: skip
