"""The edge to the venue: three files know ccxt, the rest of the lab knows `trading.domain.venue`."""
