"""Execution: intents on disk before orders, two legs as one saga, reconciliation, and the way to flat."""
