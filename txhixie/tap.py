"""
What the plugin of C{twistd hixie} names: its options, and the service made from them.
"""

from txhixie.twistd.composing import makeService
from txhixie.twistd.options import Options

__all__ = ["Options", "makeService"]
