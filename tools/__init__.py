"""What `make` calls that is more than a line."""
