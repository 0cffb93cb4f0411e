"""
One open WebSocket. It knows transports and clocks, but neither HTTP nor factories.
"""
