"""Binance spot and USD-M futures, as their wire shows them: a tape, a price path, a matching engine, REST and streams.

All prices are quote per base, all times UTC milliseconds. Market data are floats as recorded; money is `Decimal`.
"""
