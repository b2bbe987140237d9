"""`./lab doctor`: one screen of checks, each with a remedy."""
