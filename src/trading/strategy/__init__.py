"""Strategies as data: the file, the small language of its rules, its life from idea to retirement, its signature."""
