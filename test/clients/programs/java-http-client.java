// The JDK's own client and its WebSocket: java java-http-client.java URL NAME
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

class JavaHttpClient {
  static final HttpClient client = HttpClient.newHttpClient();

  static HttpRequest.Builder at(String url, String... headers) {
    HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(url));
    return headers.length == 0 ? builder : builder.headers(headers);
  }

  static HttpResponse<String> ask(HttpRequest.Builder request) throws Exception {
    return client.send(request.build(), BodyHandlers.ofString());
  }

  static HttpResponse<String> step(String title, HttpRequest.Builder request) throws Exception {
    HttpResponse<String> response = ask(request);
    System.out.println(title + " " + response.statusCode());
    return response;
  }

  static HttpResponse<String> post(String title, String url, String body, String... headers) throws Exception {
    HttpRequest.Builder request = at(url, "Content-Type", "application/json");
    if (headers.length > 0) request.headers(headers);
    return step(title, request.POST(BodyPublishers.ofString(body)));
  }

  /** The JDK reads no JSON: the value of a field. */
  static String field(String json, String name) {
    Matcher found = Pattern.compile("\"" + name + "\":(?:\"([^\"]*)\"|(\\d+)|(\\[.*?\\}\\]))").matcher(json);
    if (!found.find()) return "";
    return found.group(1) != null ? found.group(1) : found.group(2) != null ? found.group(2) : found.group(3);
  }

  static int count(HttpResponse<String> response) {
    return response.body().split("\"offset\":").length - 1;
  }

  public static void main(String[] args) throws Exception {
    String name = args[1];
    String v1 = args[0] + "/v1";
    String node = v1 + "/nodes/" + name;

    String session = field(post("session", v1 + "/sessions", "{\"ttl\":\"30s\"}").body(), "session");
    step("renew", at(v1 + "/sessions/" + session).PUT(BodyPublishers.noBody()));
    HttpRequest.Builder ephemeral = at(node + "?mode=ephemeral", "Weir-Session", session);
    step("ephemeral", ephemeral.PUT(BodyPublishers.ofString("blue")));
    HttpResponse<String> read = ask(at(node));
    System.out.println("read " + read.statusCode() + " " + read.body());
    String tag = read.headers().firstValue("ETag").get();
    step("compare-and-set", at(node, "If-Match", tag).PUT(BodyPublishers.ofString("green")));
    HttpResponse<String> conflict = ask(at(node, "If-Match", tag).PUT(BodyPublishers.ofString("green")));
    System.out.println("conflict " + conflict.statusCode() + " " + field(conflict.body(), "code"));
    String seen = ask(at(node)).headers().firstValue("ETag").get();
    HttpRequest longPoll = at(node + "?wait=20s", "If-None-Match", seen).build();
    CompletableFuture<HttpResponse<String>> waiting = client.sendAsync(longPoll, BodyHandlers.ofString());
    ask(at(node).PUT(BodyPublishers.ofString("red")));
    System.out.println("long-poll " + waiting.get().statusCode() + " " + waiting.get().body());

    post("topic", v1 + "/topics", "{\"name\":\"" + name + "\"}");
    String records = v1 + "/topics/" + name + "/records";
    post("produce", records, "{\"records\":[{\"key\":\"k\",\"value\":1},{\"value\":{\"two\":2}}]}");
    // Of a length that is not known before: chunked.
    byte[] line = "{\"value\":3}\n".getBytes();
    HttpRequest.Builder lines = at(records, "Content-Type", "application/x-ndjson");
    step("lines", lines.POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(line))));
    HttpResponse<String> fetched = ask(at(v1 + "/topics/" + name + "/partitions/0/records?wait=5s"));
    System.out.println("fetch " + fetched.statusCode() + " " + count(fetched));

    String members = v1 + "/groups/" + name + "/members";
    String joined = post("join", members, "{\"topics\":[\"" + name + "\"],\"reset\":\"earliest\"}").body();
    String member = members + "/" + field(joined, "memberId");
    String secret = field(joined, "memberSecret");
    HttpResponse<String> consumed = ask(at(member + "/records?wait=5s", "Weir-Member", secret));
    System.out.println("consume " + consumed.statusCode() + " " + count(consumed));
    String beat = "{\"memberEpoch\":" + field(joined, "memberEpoch") + ",\"owned\":" + field(joined, "assignment") + "}";
    post("heartbeat", member + "/heartbeat", beat, "Weir-Member", secret);
    step("leave", at(member, "Weir-Member", secret).DELETE());
    HttpResponse<String> problem = ask(at(v1 + "/nodes/" + name + "-none"));
    System.out.println("problem " + problem.statusCode() + " " + field(problem.body(), "code"));

    HttpRequest stream = at(v1 + "/watch/" + name + "?since=0").build();
    var events = client.send(stream, BodyHandlers.ofLines());
    events.body().filter(text -> text.contains("\"changed\"")).findFirst().get();
    System.out.println("events " + events.statusCode() + " changed");
    CompletableFuture<String> received = new CompletableFuture<>();
    WebSocket socket = client.newWebSocketBuilder().buildAsync(URI.create(v1.replace("http:", "ws:") + "/watch"),
        new WebSocket.Listener() {
          @Override
          public CompletionStage<?> onText(WebSocket webSocket, CharSequence data, boolean last) {
            if (data.toString().contains("\"events\"")) received.complete("events");
            webSocket.request(1);
            return null;
          }
        }).get(30, TimeUnit.SECONDS);
    String frame = "{\"type\":\"watch\",\"id\":\"w\",\"path\":\"/" + name + "\",\"mode\":\"node\",\"since\":0}";
    socket.sendText(frame, true);
    System.out.println("watch " + received.get(30, TimeUnit.SECONDS));
    socket.abort();
    step("end", at(v1 + "/sessions/self", "Weir-Session", session).DELETE());
    // The stream that was left is not waited for.
    System.exit(0);
  }
}
