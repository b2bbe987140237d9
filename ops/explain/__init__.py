"""`./lab explain`: why the lab did that, or nothing, in plain words."""
