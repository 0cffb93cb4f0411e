"""
The gateway: it connects each client, in any dialect, with a server that speaks RFC 6455.
"""
