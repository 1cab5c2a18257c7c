"""The monitor over HTTP: its pages, their JSON and events, and what Prometheus reads. The extra `monitor`."""
