"""The outside world on loopback: an exchange, Telegram, a language model and a news feed, on one port.

Written from the public wire protocols and from nothing of the lab: when the two disagree, one of them is wrong.
"""
