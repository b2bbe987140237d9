"""Events as the demo's screen tells them: short, one line each."""

from __future__ import annotations

from ops.telling.messages import sentence
from trading.domain.events import Event

WORDS = {
    "idea.written": "idea: {name} ({author})",
    "idea.refused": "no idea: {name} {reason}: {detail}",
    "paper.trade_opened": "paper: {strategy_id} opens",
    "paper.settlement": "paper: {strategy_id} settles funding, {funding_quote:+.4f} USDT",
    "data.blocked": "data blocked: {market} {symbol}: {reasons}",
    "strategy.review": "paper has shown enough: {name} waits for the human",
}


def on_screen(event: Event) -> str:
    """One line of the demo's screen."""
    if event.name == "strategy.judged":
        refused = event.facts["verdict"] == "REJECTED"
        verdict = event.facts["reason"] if refused else f"{event.facts['verdict']}, goes to paper"
        return f"gate: {event.facts['name']}: {verdict}"
    words = WORDS.get(event.name)
    if words is None:
        return sentence(event)
    return " ".join(words.format(**event.facts).split())  # an answer that is no idea has no name
