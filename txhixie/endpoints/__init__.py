"""
Byte streams over WebSockets as Twisted endpoints, and as endpoint strings.
"""
