"""`./lab trace ...`: where a number came from. Each command imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.outcome import told

trace_app = typer.Typer(
    no_args_is_help=True, help="Follow a number to the bars, fills or funding records it came from."
)


@trace_app.command("bars")
def trace_bars(
    at: Annotated[str, typer.Argument(help="Time of the bar, such as 2024-12-20T08:00Z.")],
    symbol: Annotated[str, typer.Option(help="Such as BTCUSDT.")] = "BTCUSDT",
    market: Annotated[str, typer.Option(help="spot or perp.")] = "spot",
    interval: Annotated[str, typer.Option(help="Of the bars.")] = "1h",
) -> None:
    """The recorded bar at a time, with the hash of the tape it stands in."""
    from ops.trace.number import run_bars

    told(lambda: run_bars(at, symbol, market, interval))


@trace_app.command("fills")
def trace_fills() -> None:
    """Every live fill, as the audit file has it: the exchange's trade id, price, quantity, fee."""
    from ops.trace.number import run_fills

    told(run_fills)


@trace_app.command("funding")
def trace_funding() -> None:
    """Every settlement booked: the exchange's record beside position, recorded rate and mark."""
    from ops.trace.number import run_funding

    told(run_funding)


@trace_app.command("strategy")
def trace_strategy(strategy_id: Annotated[str, typer.Argument(help="Id, or its beginning.")]) -> None:
    """The life of one strategy: moves, evidence with every number of the gate, paper account, trials."""
    from ops.trace.strategy import run_strategy

    told(lambda: run_strategy(strategy_id))


@trace_app.command("decisions")
def trace_decisions(
    last: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 10,
) -> None:
    """The newest cycles of the audit file: what was decided, by which rule, with both numbers."""
    from ops.trace.number import run_decisions

    told(lambda: run_decisions(last))
