"""What the cores cost by themselves, and what grows with a net. `braidmq bench` measures whole nets and rivals."""
