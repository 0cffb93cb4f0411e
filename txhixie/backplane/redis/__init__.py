"""
The backplane on Redis: a stream for each room is its history and order, a channel carries the news.
"""
