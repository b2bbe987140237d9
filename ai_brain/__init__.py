"""The middle floor: what proposes, judges and learns. It may read markets; it never sends an order."""
