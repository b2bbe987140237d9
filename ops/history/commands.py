"""The `lab history` commands: markets onto the lab's own shelf, shown, shared and copied."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.outcome import told

history_app = typer.Typer(no_args_is_help=True, help="Recorded markets.")


@history_app.command("fetch")
def history_fetch(
    symbol: Annotated[str, typer.Argument(help="Such as BTCUSDT.")],
    start: Annotated[str, typer.Option("--from", help="First day or year, such as 2024-01-01 or 2019.")],
    end: Annotated[
        str | None, typer.Option("--to", help="Day after the last, or year it ends before; without it, now.")
    ] = None,
    interval: Annotated[str, typer.Option(help="1m, 5m, 1h, ...")] = "1h",
    market: Annotated[str, typer.Option(help="Any of spot,perp,mark,premium,funding, with commas.")] = "spot,perp",
    ticks: Annotated[str, typer.Option(help="Also aggTrades,bookTicker of these markets, by the day.")] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Fetch what is held too: has the exchange restated it?")
    ] = False,
    compare: Annotated[
        bool, typer.Option(help="Compare what is made of minutes with the exchange's own hours.")
    ] = True,
) -> None:
    """Fetch history from Binance's public archive, the rest from the exchange; may be killed and begun again."""
    from ops.history.fetch import run_fetch

    told(lambda: run_fetch(symbol, start, end, interval, market, ticks, again=again, compare=compare))


@history_app.command("show")
def history_show(
    symbol: Annotated[str | None, typer.Argument(help="Such as BTCUSDT: every gap of it, with its evidence.")] = None,
) -> None:
    """What is on the shelf, what is missing of it and why."""
    from ops.history.show import run_show

    told(lambda: run_show(symbol))


@history_app.command("import")
def history_import(
    folder: Annotated[Path, typer.Argument(help="Folder of recorded Parquet files.")],
    symbol: Annotated[str, typer.Argument(help="Such as BTCUSDT.")],
    interval: Annotated[str, typer.Option(help="1m, 5m, 1h, ...")] = "1h",
) -> None:
    """Import recorded files into the store, both markets, with their gaps told."""
    from ops.history.recorded import run_import

    told(lambda: run_import(folder, symbol, interval))


@history_app.command("copy")
def history_copy() -> None:
    """Bring the PostgreSQL or TimescaleDB database that MARKET_DB_URL names up to what the shelf holds."""
    from ops.history.copy import run_copy

    told(run_copy)


@history_app.command("sync")
def history_sync(
    url: Annotated[str, typer.Argument(help="s3://bucket/prefix, gs://…, az://…; credentials from the environment.")],
    symbol: Annotated[str | None, typer.Option(help="Only this one.")] = None,
) -> None:
    """Bring the shelf and a shared one on object storage in step, both ways; what is shared counts."""
    from ops.history.sync import run_sync

    told(lambda: run_sync(url, symbol))


@history_app.command("replay")
def history_replay(
    folder: Annotated[Path, typer.Argument(help="Folder of a recording, such as recordings.")],
) -> None:
    """Build the live tapes and order books anew from what was recorded raw, by the code that built them live."""
    from ops.history.replay import run_replay

    told(lambda: run_replay(folder))
