"""
The client: it opens a WebSocket, and hands it over. It knows nothing of the server.
"""
