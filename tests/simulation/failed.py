"""Seeds that have failed once, with what they found; a seed keeps its meaning as long as the draws are the same."""

FAILED = [
    ("swarm", 3, "what waited for a member went to whoever had taken over its routing id"),
    ("swarm", 4, "the simulator's own pipes were tried again without end"),
    ("swarm", 11, "a delay of a second is no false death: outages overlap"),
    ("swarm", 35, "NotRegistered ended a call that had run"),
    ("swarm", 183, "a simulated timer fired early by a rounding error, and again, without end"),
    ("swarm", 197, "a restarted client has a new retry budget"),
    ("swarm", 221, "handlers of the safety phase held places in the liveness phase"),
    ("swarm", 264, "a broker whose host was back was answered over its dead connection, and called dead"),
    ("swarm", 475, "the same, between two brokers"),
    ("swarm", 745, "the registry was still on its way when the net was called whole"),
    ("registry", 3, "NotRegistered ended a call that had run"),
    ("swarm", 149, "the same"),
    ("brokers-die", 211, "a broker whose host was back was answered over its dead connection, and called dead"),
    ("swarm", 103, "the same, between a broker and a node's calls"),
    ("brokers-die", 301, "a burst above outbox_bytes_max is no sound net"),
    ("brokers-die", 356, "calls made nodes connect to more brokers, which takes a moment"),
    ("swarm", 1224, "a stopped client made its calls after the faults had ended"),
    ("swarm", 7202, "a net was called whole though connections were dead without their ends knowing"),
    ("swarm", 7673, "the same"),
    ("swarm", 3043, "a broker that had missed a refutation was told of it by nobody, and took the other one for dead"),
]
