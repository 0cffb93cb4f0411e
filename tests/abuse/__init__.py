"""
Attacks on a server, a child process, that measure what they do to it and to its other clients.
"""
