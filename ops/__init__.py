"""The top floor: what people and cron run. Only this floor builds objects and wires them."""
