"""
The dialects, without Twisted: bytes in, events and bytes out.
"""
