"""Do Telegram, webhook and mail take our messages? `python send_test_notification.py`; the exit status says so."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from ops.environment import Environment, find_home, read_environment
from ops.listener import outlive_reader
from ops.logs import set_up_logs
from ops.service.wiring import open_notifier
from ops.settings import LabSettings, read_settings
from ops.telling.channels import open_channels
from trading.domain.clock import Clock, iso
from trading.domain.errors import TradingEngineError
from trading.notify.message import Message


def main(words: Sequence[str] | None = None) -> int:
    """0 all that is set up took it, 1 one did not, 2 none is set up."""
    parser = argparse.ArgumentParser(prog="send_test_notification.py", description=__doc__.splitlines()[0])
    parser.parse_args(words)
    try:
        home = find_home()
        environment, settings = read_environment(home), read_settings(home.settings_file)
        set_up_logs(home.make().log_file, clock=Clock(), secrets=environment.secret_values(), to_console=False)
        return asyncio.run(_send(environment, settings))
    except TradingEngineError as error:
        print(f"send_test_notification.py: {error}", file=sys.stderr)
        return 1


async def _send(environment: Environment, settings: LabSettings) -> int:
    """To each by itself: one that refuses keeps no other from being tried."""
    clock, failed = Clock(), 0
    message = Message("test", f"✅ AI Trading Lab: test notification at {iso(clock.now_ms())}")
    async with AsyncExitStack() as stack:
        channels = dict(await stack.enter_async_context(open_channels(environment, settings, clock)))
        if environment.telegram_token is not None:
            channels = {"Telegram": await stack.enter_async_context(open_notifier(environment, settings)), **channels}
        if not channels:
            print("send_test_notification.py: no TELEGRAM_TOKEN; set it in .env, see .env.example", file=sys.stderr)
            return 2
        for name, channel in channels.items():
            try:
                await channel.send(message)
            except TradingEngineError as error:
                print(f"send_test_notification.py: {error}", file=sys.stderr)
                failed = 1
            else:
                print(f"{name} took it")
    return failed


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main())
