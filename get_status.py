"""Opens `ops/get_status.py` with the lab's own Python: `python get_status.py --help`."""

from ops.door import walk_in

walk_in("ops.get_status")
