"""Opens `ops/send_test_notification.py` with the lab's own Python: `python send_test_notification.py --help`."""

from ops.door import walk_in

walk_in("ops.send_test_notification")
