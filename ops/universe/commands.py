"""The `lab universe` commands: snapshots of what the venue lists, and what was known as of a day."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.outcome import told
from trading.domain.instrument import Market

universe_app = typer.Typer(no_args_is_help=True, help="What the venue listed, and when: symbols, filters, margins.")


@universe_app.command("import")
def universe_import(
    files: Annotated[list[Path], typer.Argument(help="Saved exchangeInfo, leverageBracket or fundingInfo; .gz too.")],
    at: Annotated[str | None, typer.Option(help="When it was taken, where the document does not say.")] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Cut copies: what they do not list is not taken for delisted.")
    ] = False,
) -> None:
    """Keep saved documents of the venue as snapshots, in any order."""
    from ops.universe.saved import run_import

    told(lambda: run_import(files, at, partial=partial))


@universe_app.command("record")
def universe_record() -> None:
    """Ask the venue what it lists now, and keep it if anything changed. The service does so once a day."""
    from ops.universe.record import run_record

    told(run_record)


@universe_app.command("show")
def universe_show(
    symbol: Annotated[str, typer.Argument(help="Such as BTCUSDT.")],
    as_of: Annotated[str | None, typer.Option("--as-of", help="Day or time; without it, now.")] = None,
) -> None:
    """What was known of a symbol then: listing, filters, margins, funding, and which snapshot says so."""
    from ops.universe.saved import run_show

    told(lambda: run_show(symbol, as_of))


@universe_app.command("list")
def universe_list(
    as_of: Annotated[str | None, typer.Option("--as-of", help="Day or time; without it, now.")] = None,
    market: Annotated[Market, typer.Option(help="spot or perp.")] = Market.PERP,
) -> None:
    """What traded then."""
    from ops.universe.saved import run_list

    told(lambda: run_list(as_of, market))
