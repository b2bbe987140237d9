"""What data is held to: the table of rules, and one file for each thing that is looked at. Pure functions."""
