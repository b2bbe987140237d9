"""Opens `ops/go_live.py` with the lab's own Python: `python go_live.py --help`."""

from ops.door import walk_in

walk_in("ops.go_live")
