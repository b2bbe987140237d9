"""What the lab is doing, in under a second, with no network: `python get_status.py [--pending] [--approved]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from ops.environment import find_home
from ops.listener import outlive_reader
from ops.numbers import to_release
from ops.status import ALIVE_S, Signs, Status, StrategyLine, read_status
from trading.domain.clock import Clock
from trading.domain.errors import TradingEngineError


def main(words: Sequence[str] | None = None) -> int:
    """Print the status; 0, or 2 where the home cannot be found."""
    parser = argparse.ArgumentParser(prog="get_status.py", description="What the lab is doing; reads files only.")
    parser.add_argument("--pending", action="store_true", help="only the strategies that wait for you")
    parser.add_argument("--approved", action="store_true", help="only the strategies you approved")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    options = parser.parse_args(words)
    try:
        status = read_status(find_home(), Clock())
    except TradingEngineError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(asdict(status) | {"stages": status.stages}, indent=2, ensure_ascii=False))
    elif options.pending or options.approved:
        lines = (status.pending if options.pending else ()) + (status.approved if options.approved else ())
        print("\n".join(map(strategy_line, lines)) or "none")
    else:
        print("\n".join(status_lines(status)))
    return 0


def status_lines(status: Status) -> list[str]:
    """The page a person reads."""
    beat = status.heartbeat
    lines = ["AI Trading Lab", f"  service     {service_line(status)}"]
    if beat.get("market") == "synthetic":
        lines.append("  market      SYNTHETIC MARKET")
    lines.append(f"  mode        {mode_line(status)}")
    lines.append(f"  stop        {status.stop or ('PAUSED: no new positions' if status.paused else 'none')}")
    accounts, holdings = beat.get("accounts"), beat.get("holdings")
    told = accounts if isinstance(accounts, list) else []
    lines += [f"  equity      {account['equity_quote']:,.2f} USDT ({account['kind']})" for account in told]
    held = holdings if isinstance(holdings, list) else []
    nothing = "not known" if status.is_unread else "nothing"
    lines += [f"  holds       {holding['text']}" for holding in held] or [f"  holds       {nothing}"]
    stages = ", ".join(f"{count} {stage}" for stage, count in sorted(status.stages.items()))
    lines.append(f"  strategies  {stages or 'none yet'}")
    living = beat.get("living")
    lines += [f"  lives       {line}" for line in (living if isinstance(living, list) else [])]
    lines.append(f"  last cycle  {last_cycle_line(status)}")
    reasons = beat.get("no_trade_reasons")
    if isinstance(reasons, dict) and reasons:
        top = sorted(reasons.items(), key=lambda pair: -pair[1])[:3]
        lines.append("  no trades   " + ", ".join(f"{reason} {count:,}×" for reason, count in top) + " (last day)")
    lines.append(f"  drills      {status.drills}")
    lines += [f"  waits       {to_release(status.in_force)}"] if status.in_force else []
    lines += [f"  waits       {line.id} {line.name}: python approve_strategy.py {line.id}" for line in status.pending]
    lines += [f"  waits       {line.id} {line.name}, approved: python go_live.py {line.id}" for line in status.unarmed]
    lines += [f"  problem     {problem}" for problem in status.problems]
    return lines


def service_line(status: Signs) -> str:
    """Alive, starting, frozen, or not there."""
    age = "no heartbeat yet" if status.heartbeat_age_s is None else f"heartbeat {status.heartbeat_age_s:.0f} s old"
    if status.pid is None:
        return "never ran here; start it with ./lab run" if status.heartbeat_age_s is None else f"NOT RUNNING, {age}"
    if status.is_starting:
        return f"starts as process {status.pid}, for {status.started_s_ago:.0f} s, {age}"
    if status.heartbeat_age_s is None or status.heartbeat_age_s > ALIVE_S:
        return f"FROZEN? process {status.pid}, {age}"
    return f"runs as process {status.pid}, {age}"


def mode_line(status: Status) -> str:
    """What it trades with, by the accounts there are, and whether it may send live orders."""
    accounts = status.heartbeat.get("accounts")
    kinds = [str(account["kind"]) for account in accounts] if isinstance(accounts, list) else []
    live = next((kind.partition(",")[0] for kind in kinds if kind.startswith("live")), None)
    mode = "not known" if status.is_unread else live or ("paper" if kinds else "no account yet, live or on paper")
    return f"{mode}; {'a strategy' if status.is_armed else 'nothing'} is armed for live trading"


def last_cycle_line(status: Status) -> str:
    """What the last cycle decided, with the rule and both numbers."""
    last = status.heartbeat.get("last")
    if not isinstance(last, dict):
        return "not known" if status.is_unread else "none yet"
    both = f"value {last['value']:.6g}, limit {last['limit']:.6g}"
    note = last["note"] if last["note"] != last["reason"] else ""
    return f"{last['status']} {last['reason']} ({both}) {note}".rstrip()


def strategy_line(line: StrategyLine) -> str:
    """One strategy, one line."""
    return f"{line.id}  {line.type:15} {line.stage:12} {line.name}"


if __name__ == "__main__":
    outlive_reader()
    sys.exit(main())
