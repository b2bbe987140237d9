"""Specs under test on the live market: accounts, their performance, and when a human should be asked."""
