"""Attacks: hostile members, brokers and strangers against real processes, and what becomes of an honest load beside."""
