"""
Measures txhixie against its peers: C{python -m benchmarks}.
"""
