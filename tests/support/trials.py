"""Ends of calls, for tests of trials."""

from braidmq.messages import Reply


def reply(broker="b1", worker="w1", retries=0, payload=b"pong"):
    return Reply(payload, worker, "client", "echo", bytes(16), bytes(16), bool(retries), retries, broker)
