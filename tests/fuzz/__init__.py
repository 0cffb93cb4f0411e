"""
Fuzzing of the whole server: random conversations, guided by the code they reach, and judged by
independent decoders. C{python -m tests.fuzz --help} shows how to run it.
"""
