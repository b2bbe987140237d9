"""One file a job; the schedule in `ops/schedule.py` says when each runs."""
