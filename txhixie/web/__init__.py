"""
All contact with twisted.web: requests, sites, and what HTTP says about a client.
"""
