"""What the lab perceives beside the market. A sense that fails says so; it never fills in."""
