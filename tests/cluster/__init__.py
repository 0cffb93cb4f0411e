"""
Several nodes, many clients and a Redis that fails: do all clients see the same?
"""
