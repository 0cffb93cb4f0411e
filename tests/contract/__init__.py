"""
The contract between an application and its transport, on real sockets: each promise is a test, in
every dialect, over TCP, TLS and a Unix socket, with both reactors (see
C{tests/interop/test_reactors.py}).
"""
