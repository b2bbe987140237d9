"""Funding carry: rates, the decision to enter and leave, the position's books, and the desk that runs one cycle."""
