"""The systems that are compared, each in a file: how its servers are started, and what its clients and workers need."""
