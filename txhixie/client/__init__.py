"""
The client: it opens a WebSocket, and hands it over. It does not depend on the server.
"""
