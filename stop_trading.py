"""Opens `ops/stop_trading.py` with the lab's own Python: `python stop_trading.py --help`."""

from ops.door import walk_in

walk_in("ops.stop_trading")
