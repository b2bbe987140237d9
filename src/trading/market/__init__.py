"""Market data: recorded, live, and the validator that decides whether either may be used."""
