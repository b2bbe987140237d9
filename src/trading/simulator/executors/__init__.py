"""Where a population is evaluated: threads of this process, processes of this machine, or a farm of machines.

A strategy's result does not depend on which others stand beside it, so a population is cut into parts and every
executor gives the same bytes as `simulate_population`.
"""
