# Save as /etc/varnish/txhixie.vcl, then:
# varnishd -a 0.0.0.0:80 -f /etc/varnish/txhixie.vcl -p pipe_timeout=3600
# A WebSocket that is quiet for longer than pipe_timeout is closed.

vcl 4.1;

backend txhixie {
    .host = "127.0.0.1";
    .port = "3400";
}

sub vcl_recv {
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
}

sub vcl_pipe {
    # Varnish would send "Connection: close", and no Upgrade.
    set bereq.http.Connection = req.http.Connection;
    set bereq.http.Upgrade = req.http.Upgrade;
}
