"""What the running service is made of and how it is put together; `ops/ai_trading_lab.py` runs it."""
