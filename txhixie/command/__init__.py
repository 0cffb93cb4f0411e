"""
The command C{txhixie}: an interactive client, at a terminal or in a pipe.
"""
