"""Servers and clients that ours is compared with. Each does what its first lines say, and no more."""
