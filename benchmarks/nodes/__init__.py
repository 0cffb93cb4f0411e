"""
One room on one, two and three nodes and workers, joined by a real Redis, and the same on socket.io.
"""
