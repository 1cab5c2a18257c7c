"""ZMTP 3.1 with CURVE, without I/O: bytes in, frames out; frames in, bytes out. See docs/zmtp.md."""
