"""
The built-in applications.
"""
