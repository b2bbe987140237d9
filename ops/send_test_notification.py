"""Does Telegram take our messages? `python send_test_notification.py`; the exit status says so."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from ops.environment import find_home, read_environment
from ops.logs import set_up_logs
from ops.settings import read_settings
from ops.wiring import open_notifier
from trading.domain.clock import Clock, iso
from trading.domain.errors import TradingEngineError
from trading.notify.message import Message


def main(words: Sequence[str] | None = None) -> int:
    """0 Telegram took it, 1 it did not, 2 it is not configured."""
    parser = argparse.ArgumentParser(prog="send_test_notification.py", description=__doc__.splitlines()[0])
    parser.parse_args(words)
    try:
        home = find_home()
        environment, settings = read_environment(home), read_settings(home.settings_file)
        set_up_logs(home.make().log_file, clock=Clock(), secrets=environment.secret_values(), to_console=False)
        if environment.telegram_token is None:
            print("send_test_notification.py: no TELEGRAM_TOKEN; set it in .env, see .env.example", file=sys.stderr)
            return 2

        async def send() -> None:
            async with open_notifier(environment, settings) as notifier:
                text = f"✅ AI Trading Lab: test notification at {iso(Clock().now_ms())}"
                await notifier.send(Message("test", text))

        asyncio.run(send())
    except TradingEngineError as error:
        print(f"send_test_notification.py: {error}", file=sys.stderr)
        return 1
    print("Telegram took it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
