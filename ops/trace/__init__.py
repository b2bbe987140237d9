"""`./lab trace`: from a number back to the bars, fills and funding records it came from."""
