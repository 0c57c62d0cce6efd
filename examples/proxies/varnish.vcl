# Weirkeeper behind Varnish: /etc/varnish/default.vcl. Tried with Varnish 7.1.
# Run as `varnishd … -p timeout_idle=330`: by default a body that pauses for 5 s is broken off, and VCL cannot say otherwise.
vcl 4.1;

backend weirkeeper {
    .host = "127.0.0.1";
    .port = "7070";
    # Long polls last up to 5 minutes; event streams have a message every 10 s.
    .first_byte_timeout = 330s;
    .between_bytes_timeout = 330s;
}

sub vcl_recv {
    # WebSockets.
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
    # Nothing is cached, and no two requests share a response: each is passed on as it is.
    return (pass);
}

sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = req.http.Connection;
}
