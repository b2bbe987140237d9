"""Risk: what stops the lab, what limits it, and what it remembers of its losses."""
