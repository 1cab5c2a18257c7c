"""The clients and workers of each system: a module with `connect` and `serve`, imported only by their processes."""
