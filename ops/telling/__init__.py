"""From an event to the human who reads it: words, channels, delivery, escalation."""
