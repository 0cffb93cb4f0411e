"""
Mutation testing: small changes to the package that the fast tests should detect.
C{python -m tests.mutation --help} shows how to run it.
"""
