"""What a daemon must stand for long: a week of joins in minutes, and restarts with many clients."""
