"""The fault matrix: real processes under load, a fault for each row, and what the checkers find of it."""
