"""
The command C{txhixie}: a client for people, at a terminal or in a pipe.
"""
