from ai_brain.evidence.rehearsal import Run
from ai_brain.evidence.rehearse import Conditions
from trading.market.tape import Tape
from trading.strategy.spec import StrategySpec


def rehearse_carry(spec: StrategySpec, spot: Tape, perp: Tape, conditions: Conditions) -> Run:
    raise NotImplementedError
