"""The ground floor: what touches money and data."""
