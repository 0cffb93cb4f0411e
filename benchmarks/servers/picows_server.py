"""
picows on asyncio with uvloop.
"""

import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from benchmarks.servers.options import BACKLOG, options

clients: set[WSTransport] = set()


class Echo(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        clients.add(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.onText(transport, frame)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close()
            transport.disconnect()

    def onText(self, transport: WSTransport, frame: WSFrame) -> None:
        transport.send(WSMsgType.TEXT, frame.get_payload_as_memoryview())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        clients.discard(transport)


class Broadcast(Echo):
    def onText(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        for client in clients:
            client.send(WSMsgType.TEXT, payload)


def listener(request: WSUpgradeRequest) -> WSListener:
    return Echo() if options.mode == "echo" else Broadcast()


async def main() -> None:
    server = await ws_create_server(listener, "127.0.0.1", options.port, backlog=BACKLOG)
    await server.serve_forever()


uvloop.run(main())
