"""
Attacks are for Linux alone, whose /proc tells what they do to the server.
"""

import sys

collect_ignore = [] if sys.platform == "linux" else ["test_abuse.py"]
