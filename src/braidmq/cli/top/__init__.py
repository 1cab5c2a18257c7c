"""`braidmq top`: the net in a terminal, live."""
