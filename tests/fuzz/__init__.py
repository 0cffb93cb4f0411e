"""
Fuzzing of the whole server: random conversations, guided by the code they reach, judged by
independent decoders. C{python -m tests.fuzz --help} tells how to run it.
"""
