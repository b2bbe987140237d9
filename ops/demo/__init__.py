"""`./lab demo`: the whole story against the sandbox, in minutes."""
