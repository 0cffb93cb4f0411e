"""
What an operator is shown: metrics, health and statistics, on an endpoint of their own.
"""
