"""The statistics that stand between a pretty backtest and a human.

Shared conventions, fixed because libraries differ: Sharpe ratios are per bar unless a name says `annual`; the standard
deviation has ddof 1; skewness and kurtosis are the biased moments; kurtosis is Pearson's (a normal has 3). Returns are
(n,) fractions per bar of marked equity, oldest first.
"""
