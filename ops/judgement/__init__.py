"""A strategy before the gate, by hand or by the service: backtest, evidence, verdicts derived anew, the farm."""
