"""What watches the lab's own work and makes it smaller."""
