# An echo of em-websocket, in all its dialects. It prints its port.
require "em-websocket"
require "socket"

EM.run do
  server = EM::WebSocket.run(host: "127.0.0.1", port: 0) do |socket|
    socket.max_frame_size = 1 << 26 if socket.respond_to?(:max_frame_size=)
    socket.onmessage do |text|
      if text == "close"
        socket.close(4001, "asked")
      elsif text == "die"
        exit! 1
      else
        socket.send_text(text)
      end
    end
    socket.onbinary { |data| socket.send_binary(data) }
    socket.onerror { |error| warn error.inspect }
  end
  puts Socket.unpack_sockaddr_in(EM.get_sockname(server))[0]
  $stdout.flush
end
