"""
The command line that all servers here share, and where they listen.
"""

import argparse

_parser = argparse.ArgumentParser()
_parser.add_argument("mode", choices=("echo", "broadcast"))
_parser.add_argument("port", type=int)
_parser.add_argument("--deflate", action="store_true", help="agree to permessage-deflate")
_parser.add_argument("--tls", metavar="FILE", help="a key and its certificate")
_parser.add_argument("--uvloop", action="store_true", help="use uvloop, where there is a choice")
options = _parser.parse_args()

# Clients that may wait to be accepted: the same for all servers, because many come at once.
BACKLOG = 1024
# What Twisted's servers listen on, as an endpoint string.
ENDPOINT = f"tcp:{options.port}:interface=127.0.0.1:backlog={BACKLOG}"
if options.tls:
    ENDPOINT = ENDPOINT.replace("tcp", "ssl", 1) + f":privateKey={options.tls}"
