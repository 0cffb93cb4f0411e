"""
The servers that are measured. Each is run as C{SCRIPT echo|broadcast PORT [OPTIONS]}, with the
options in C{options.py}.
"""
