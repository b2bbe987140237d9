"""How the lab tells its human: a message, an outbox on disk, and those who carry it. Telegram is one file of it."""
