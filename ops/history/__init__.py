"""`./lab history`, and the shelf that research reads: recorded markets, fetched, imported, replayed, shown, shared."""
