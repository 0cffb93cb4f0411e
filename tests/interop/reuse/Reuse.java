// Loads a page, then opens a WebSocket with the same client, and sees some texts echoed.
// Arguments: the URL of the page, the URL of the WebSocket, and the texts.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public class Reuse implements WebSocket.Listener {
    private final LinkedBlockingQueue<String> messages = new LinkedBlockingQueue<>();
    private final CompletableFuture<Integer> closed = new CompletableFuture<>();
    private final StringBuilder unfinished = new StringBuilder();

    @Override
    public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
        unfinished.append(data);
        if (last) {
            messages.add(unfinished.toString());
            unfinished.setLength(0);
        }
        socket.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
        closed.complete(code);
        return null;
    }

    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
        System.out.println("page: " + client.send(request, BodyHandlers.ofString()).body());
        Reuse listener = new Reuse();
        WebSocket socket = client.newWebSocketBuilder()
            .buildAsync(URI.create(arguments[1]), listener).get(10, TimeUnit.SECONDS);
        for (String text : Arrays.copyOfRange(arguments, 2, arguments.length)) {
            socket.sendText(text, true).get(10, TimeUnit.SECONDS);
            System.out.println("text: " + listener.messages.poll(10, TimeUnit.SECONDS));
        }
        socket.sendClose(4000, "bye").get(10, TimeUnit.SECONDS);
        System.out.println("close: " + listener.closed.get(10, TimeUnit.SECONDS));
    }
}
