"""
The contract between an application and its transport, on real sockets: each promise is a test, in
every dialect, over TCP, TLS and a Unix socket. C{tests/interop/test_reactors.py} runs them again
with asyncio's reactor.
"""
