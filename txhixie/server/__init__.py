"""
The server: the protocol and factory of its connections, and the service that listens.
"""
