"""A whole net in virtual time, from one seed: the production cores, a network that fails, and what must hold."""
