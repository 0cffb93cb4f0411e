"""
Byte streams over WebSockets as endpoints of Twisted's, and as endpoint strings.
"""
