"""How a net is: what its brokers tell, taken together, and what is wrong there. Reports in, findings out; no I/O."""
