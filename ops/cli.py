"""The `lab` commands. Each imports what it needs when it runs, so that `./lab --help` answers at once.

Exit codes: 0 done, 1 the answer is no, 2 something you gave is wrong, 3 no network or no market data.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError

from ops.history.commands import history_app
from ops.listener import outlive_reader
from ops.outcome import told
from ops.trace.commands import trace_app
from ops.universe.commands import universe_app

app = typer.Typer(
    name="lab", no_args_is_help=True, add_completion=False, help="AI Trading Lab", pretty_exceptions_enable=False
)
app.add_typer(history_app, name="history")
app.add_typer(universe_app, name="universe")
app.add_typer(trace_app, name="trace")


@app.command()
def demo(
    tape: Annotated[
        Path | None, typer.Option(help="Folder of recorded Parquet files; without it, one is downloaded.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=60, help="Lab days to play; asking a human takes at least 11.")] = 14,
    symbol: Annotated[str, typer.Option(help="What is traded.")] = "BTCUSDT",
    speed: Annotated[
        float, typer.Option(min=60, max=200_000, help="Lab seconds per second between the hours.")
    ] = 40_000,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the whole state for looking around.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write what happened there.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write the last screen there, as SVG.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the price inside each bar, and of a synthetic market.")] = 7,
    archive: Annotated[
        str | None, typer.Option(help="A mirror of Binance's public archive to download from: its base URL.")
    ] = None,
) -> None:
    """The whole lab on one machine: no key, no network, no money; a recorded market, faster than life."""
    from ops.demo.options import DemoOptions
    from ops.demo.play import play_demo

    options = DemoOptions(tape, days, symbol.upper(), speed, keep, json_file, picture, seed, archive)
    told(lambda: play_demo(options))


@app.command()
def run() -> None:
    """The service: live public data, research, paper trading; live orders only past both gates."""
    from ops.run import run_service

    told(run_service)


@app.command()
def guardian() -> None:
    """Beside the service, in a process of its own: everything flat on a kill, also when the lab is frozen or dead."""
    from ops.guardian.process import run_guardian

    told(run_guardian)


@app.command()
def page(
    host: Annotated[str | None, typer.Option(help="Address to listen on; without it, page.host of lab.yaml.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Without it, page.port of lab.yaml.")] = None,
) -> None:
    """What the lab does, as a web page: reads its files only, whether it runs or not."""
    from ops.dashboard.serve import run_page

    told(lambda: run_page(host, port))


@app.command()
def watch(
    view: Annotated[str, typer.Option(help="overview, strategies, funding, data, ideas, risk, ...")] = "overview",
    once: Annotated[bool, typer.Option("--once", help="Print it and end, as where there is no terminal.")] = False,
) -> None:
    """The same in a terminal: 1 to 9 change the view, arrows move, q ends it."""
    from ops.dashboard.watch import run_watch

    told(lambda: run_watch(view, once=once))


@app.command()
def drill(
    venue: Annotated[
        str, typer.Option(help="sandbox, or demo: the exchange's demo venue with your demo keys.")
    ] = "sandbox",
    only: Annotated[list[str] | None, typer.Option(help="stop, crash, leg or key; may be given again.")] = None,
) -> None:
    """Rehearse stop, crash, a failed leg and a lost key where no money is, and file the seconds they took."""
    from ops.drill.play import run_drill

    told(lambda: run_drill(venue, only or ()))


@app.command()
def backtest(
    spec: Annotated[str, typer.Argument(help="A strategy file, or the id of one in strategies/.")],
    tape: Annotated[
        Path | None, typer.Option(help="Folder of recorded Parquet files; without it, the lab's own store.")
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="First day or year, such as 2023-01-01 or 2023.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Day after the last, or year it ends before.")] = None,
) -> None:
    """One strategy over history, with every question of the gate. The look is counted as a trial."""
    from ops.judgement.backtest import run_backtest

    told(lambda: run_backtest(spec, tape, start, end))


@app.command()
def evidence(
    strategy_id: Annotated[str, typer.Argument(help="Id, or its beginning, of a strategy with evidence.")],
    html: Annotated[Path | None, typer.Option(help="Write the page there, as one HTML file with charts.")] = None,
) -> None:
    """The page of a judged strategy: its verdict and everything it rests on."""
    from ops.judgement.evidence_page import run_evidence

    told(lambda: run_evidence(strategy_id, html))


@app.command()
def fills() -> None:
    """What own fills have taught: slippage against the model and how often resting orders fill, with n and interval."""
    from ops.nightly.fills_command import run_fills

    told(run_fills)


@app.command()
def explain(
    wanted: Annotated[
        str | None, typer.Argument(metavar="ID", help="m-1742 under a message, or d-260121-1400-7f3a of a cycle.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="A moment: 14:00, the latest that was, or 2026-01-21T14:00Z.")] = None,
) -> None:
    """Why did it do that, or nothing? A cycle, a message or a moment, in plain words, from the audit file."""
    from ops.explain.answer import run_explain

    told(lambda: run_explain(wanted, at))


@app.command()
def doctor(offline: Annotated[bool, typer.Option("--offline", help="Ask nobody outside.")] = False) -> None:
    """What is misconfigured, each with its remedy."""
    from ops.run import run_doctor

    told(lambda: run_doctor(offline=offline))


@app.command()
def backup(to: Annotated[Path | None, typer.Option(help="Also copy the archive into this folder.")] = None) -> None:
    """Write an archive of keys, settings, strategies, state and logs into backups/, as every Sunday."""
    from ops.backup.commands import run_backup

    told(lambda: run_backup(to))


@app.command()
def restore(
    archive: Annotated[Path | None, typer.Argument(help="An archive; without it, the newest in backups/.")] = None,
    drill: Annotated[bool, typer.Option("--drill", help="Only try it, beside the lab; changes nothing.")] = False,
) -> None:
    """Put an archive back in place of what is here; not while the lab runs. Undoes no stop, disarms live trading."""
    from ops.backup.commands import run_restore

    told(lambda: run_restore(archive, drill=drill))


@app.command()
def verify(
    strategy_id: Annotated[str, typer.Argument(help="Id, or its beginning, of a strategy with evidence.")],
) -> None:
    """Derive a published verdict anew from its pinned tapes and say whether it is the same."""
    from ops.judgement.backtest import run_verify

    told(lambda: run_verify(strategy_id))


@app.command()
def calibrate(
    tape: Annotated[
        Path | None, typer.Option(help="Folder of recorded Parquet files; without it, the lab's own store.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A twentieth of the campaigns.")] = False,
    campaigns: Annotated[int | None, typer.Option(min=1, help="Markets with nothing to find; 1,000, quick 50.")] = None,
    planted: Annotated[int | None, typer.Option(min=0, help="Markets for each size of edge; 100, quick 10.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw false alarms and power curve there, as PNG.")] = None,
) -> None:
    """The gate on markets where the answer is known: how often it cries wolf, how often it finds what is there."""
    from ops.judgement.calibrate import run_calibrate

    noise = campaigns or (50 if quick else 1_000)
    edges = planted if planted is not None else (10 if quick else 100)
    told(lambda: run_calibrate(tape, campaigns=noise, planted=edges, json_file=json_file, picture=picture))


@app.command(name="verify-audit")
def verify_audit(
    file: Annotated[Path | None, typer.Argument(help="An audit file; without it, the lab's own.")] = None,
    root: Annotated[str | None, typer.Option(help="'Audit root' of a daily summary: the chain must have it.")] = None,
) -> None:
    """Find any edited, removed or reordered line of the audit file."""
    from ops.trace.audit_chain import run_verify_audit

    told(lambda: run_verify_audit(file, root))


@app.command()
def farm(
    strategies: Annotated[int, typer.Option(min=1, max=100_000, help="How many are evaluated.")] = 400,
) -> None:
    """Evaluate synthetic strategies where `lab.yaml` says (farm:) and here: is it the same to the bit, and how fast?"""
    from ops.judgement.farm import run_farm

    told(lambda: run_farm(strategies))


@app.command()
def scheduler(
    listen: Annotated[
        str, typer.Option(help="Who reaches it runs code here: loopback, a trusted network, or tls://.")
    ] = "tcp://127.0.0.1:8786",
) -> None:
    """Where the workers of a farm meet; one for a farm, on any machine."""
    from ops.judgement.worker import run_scheduler_command

    told(lambda: run_scheduler_command(listen))


@app.command()
def worker(
    cluster: Annotated[
        str | None, typer.Option(help="tcp://host:port of the scheduler; without it, farm.cluster of lab.yaml.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, max=1024, help="Cores it gives; 0: all of this machine.")] = 0,
    memory: Annotated[str, typer.Option(help="Beyond it its process is begun anew, such as 2GB; 0: no limit.")] = "0",
    listen: Annotated[str, typer.Option(help="This machine's address that the scheduler reaches.")] = "127.0.0.1",
) -> None:
    """Work for a farm: evaluate strategies for whoever asks at its scheduler."""
    from ops.judgement.worker import run_worker_command

    told(lambda: run_worker_command(cluster, threads, memory, listen))


@app.command()
def parity(
    strategy_id: Annotated[
        str | None, typer.Argument(help="Id, or its beginning; without it, every paper account.")
    ] = None,
    date: Annotated[
        str | None, typer.Option(help="UTC day, such as 2026-01-21; without it, the last that paper has whole.")
    ] = None,
) -> None:
    """Paper against its backtest on a day's candles as they were told live, and what differs by cause."""
    from ops.nightly.parity_command import run_parity

    told(lambda: run_parity(strategy_id, date))


def main() -> None:
    """The console entry: what typer would draw a box around is one line here."""
    try:
        code = app(prog_name="./lab", standalone_mode=False)
    except NoArgsIsHelpError as error:
        print(error.format_message())
        code = 2
    except ClickException as error:
        print(f"lab {shlex.join(sys.argv[1:])}: {error.format_message().rstrip('.')}; see --help", file=sys.stderr)
        code = 2
    except typer.Abort:
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    outlive_reader()
    main()
