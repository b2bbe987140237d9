"""The journal: the bus that carries events, and the audit file nobody can edit unnoticed."""
