"""What a night compares and learns: paper and live against their backtests, fills against what was charged."""
