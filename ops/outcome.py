"""What becomes of a command: an expected failure is one line and an exit code.

Exit codes: 0 done, 1 the answer is no, 2 something you gave is wrong, 3 no network or no market data.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from trading.domain.errors import NetworkDownError, TradingEngineError


def told(work: Callable[[], int]) -> None:
    """Run a command; an expected failure is one line and an exit code."""
    try:
        code = work()
    except NetworkDownError as error:
        print(f"lab: {error}; ./lab demo plays the whole lab without a network", file=sys.stderr)
        code = 3
    except TradingEngineError as error:
        print(f"lab: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code)
