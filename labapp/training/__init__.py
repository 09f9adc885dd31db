"""How does a net learn? The loop, what is written down of it, and the comparison the lab shows first."""
