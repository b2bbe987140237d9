"""Strategies bred from strategies: each says of whom it comes and what was changed. Nothing here looks at a market.

Chance comes in as a seed; the same parents in the same order and the same seed give the same children.
"""
