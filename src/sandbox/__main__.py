"""`python -m sandbox --tape DIR --symbol BTCUSDT --start MS`: one process, one port, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path

from sandbox.desk import ScriptError
from sandbox.exchange.errors import SandboxError
from sandbox.exchange.exchange import Key, Start
from sandbox.server import Town, serve


def main(arguments: list[str] | None = None) -> int:
    """Serve; 0 after a signal, 2 for bad input with one line on stderr."""
    try:
        chosen = _parser().parse_args(arguments)
        asyncio.run(serve(*_town(chosen), with_parent=chosen.with_parent))
    except (SandboxError, ScriptError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 2
    return 0


class _OneLine(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # argparse says NoReturn; so does exit
        self.exit(2, f"sandbox: {message}; see python -m sandbox --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _OneLine(prog="python -m sandbox", description="The outside world on loopback, from a recorded tape.")
    parser.add_argument(
        "--tape", type=Path, required=True, help="folder of Parquet files, spot_BTCUSDT_1m*.parquet ..."
    )
    parser.add_argument("--symbol", action="append", required=True, help="such as BTCUSDT; may be given again")
    parser.add_argument("--start", type=int, required=True, help="first moment, UTC milliseconds")
    parser.add_argument("--port", type=int, default=0, help="0: a free one, told on stdout")
    parser.add_argument("--scale", type=float, default=1.0, help="sandbox seconds per real second")
    parser.add_argument("--seed", type=int, default=0, help="of the price inside each bar")
    parser.add_argument("--spot-usdt", default="10000", help="spot wallet at the start")
    parser.add_argument("--futures-usdt", default="10000", help="futures wallet at the start")
    parser.add_argument("--gemini-script", type=Path, help="answers of the language model")
    parser.add_argument("--feed", type=Path, help="news items")
    parser.add_argument("--faults", type=Path, help="schedule of faults, see sandbox/faults.py")
    parser.add_argument("--limits", action="store_true", help="limit requests by weight as Binance does: 429, then 418")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started it is gone")
    parser.add_argument("--api-key", default=os.environ.get("SANDBOX_API_KEY", "sandbox-key"))
    parser.add_argument("--api-secret", default=os.environ.get("SANDBOX_API_SECRET", "sandbox-secret"))
    parser.add_argument("--key-withdrawals", action="store_true", help="the key may withdraw")
    parser.add_argument("--key-any-address", action="store_true", help="the key is not restricted to an address")
    return parser


def _town(chosen: argparse.Namespace) -> tuple[Town, int]:
    if chosen.scale <= 0 or chosen.scale == float("inf") or chosen.scale != chosen.scale:
        raise SandboxError(f"--scale {chosen.scale}: must be a positive number of sandbox seconds per real second")
    if chosen.seed < 0:
        raise SandboxError(f"--seed {chosen.seed}: must be a whole number >= 0")
    if not 0 <= chosen.port <= 65_535:
        raise SandboxError(f"--port {chosen.port}: must lie in 0..65535")
    symbols = tuple(dict.fromkeys(symbol.upper() for symbol in chosen.symbol))
    for symbol in symbols:
        if not (symbol.isalnum() and symbol.endswith("USDT") and len(symbol) > 4):
            raise SandboxError(f"--symbol {symbol}: must be an exchange id quoted in USDT, such as BTCUSDT")
    start = Start(chosen.tape, symbols, chosen.start, chosen.scale, chosen.seed, _usdt("--spot-usdt", chosen.spot_usdt),
                  _usdt("--futures-usdt", chosen.futures_usdt))  # fmt: skip
    key = Key(chosen.api_key, chosen.api_secret, chosen.key_withdrawals, not chosen.key_any_address)
    return Town(start, key, chosen.gemini_script, chosen.feed, chosen.faults, chosen.limits), chosen.port


def _usdt(flag: str, text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise SandboxError(f"{flag} {text}: must be an amount of USDT >= 0")
    return amount


if __name__ == "__main__":
    sys.exit(main())
