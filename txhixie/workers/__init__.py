"""
Many processes on one machine that share ports: one supervises, the others serve.
"""
