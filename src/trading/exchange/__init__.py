"""The edge to the venue: one file knows ccxt, the rest of the lab knows `trading.domain.venue`."""
