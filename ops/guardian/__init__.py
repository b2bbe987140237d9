"""The small process beside the service that makes everything flat when the lab cannot: its eyes and its hands."""
