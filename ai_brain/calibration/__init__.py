"""Made-up markets on which the gate's answers are known beforehand: how often it is fooled, and what it finds.

Every market comes from a recorded one and a seed, has origin `synthetic`, and is the same for the same seed to the bit.
"""
