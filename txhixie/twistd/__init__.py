"""
What C{twistd hixie} runs: its options, its help, and the service made from them.
"""
