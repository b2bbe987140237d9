"""Language models: one protocol, one file a provider, and the day's budget. They propose; nothing here decides."""
