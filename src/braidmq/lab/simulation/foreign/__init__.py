"""Programs of other protocols before a simulated bridge, and the way between them."""
