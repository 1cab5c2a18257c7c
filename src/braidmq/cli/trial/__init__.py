"""To try a service: `braidmq ping` and `braidmq load`."""
