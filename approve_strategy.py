"""Opens `ops/approve_strategy.py` with the lab's own Python: `python approve_strategy.py --help`."""

from ops.door import walk_in

walk_in("ops.approve_strategy")
