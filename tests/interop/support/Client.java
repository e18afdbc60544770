// Java's own two HTTP clients:  java [-Dhttp.proxyHost=H -Dhttp.proxyPort=P] Client.java new|old URL [BODY_BYTES]
// Prints the status, then the body.

import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

public class Client {
    public static void main(String[] args) throws Exception {
        URI uri = URI.create(args[1]);
        byte[] body = new byte[args.length > 2 ? Integer.parseInt(args[2]) : 0];
        if (args[0].equals("new")) {
            withHttpClient(uri, body);
        } else {
            withUrlConnection(uri, body);
        }
    }

    private static void withHttpClient(URI uri, byte[] body) throws Exception {
        var request = HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(20));
        if (body.length > 0) {
            request.POST(BodyPublishers.ofByteArray(body));
        }
        // As it comes: it offers an upgrade to h2c, and takes its proxy from the system's properties.
        var answer = HttpClient.newHttpClient().send(request.build(), BodyHandlers.ofString());
        System.out.println(answer.statusCode());
        System.out.println(answer.body());
    }

    private static void withUrlConnection(URI uri, byte[] body) throws Exception {
        var connection = (HttpURLConnection) uri.toURL().openConnection();
        connection.setReadTimeout(20_000);
        if (body.length > 0) {
            connection.setDoOutput(true);
            connection.getOutputStream().write(body);
        }
        System.out.println(connection.getResponseCode());
        try (InputStream in = connection.getInputStream()) {
            System.out.println(new String(in.readAllBytes()));
        }
    }
}
