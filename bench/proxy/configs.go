package main

import (
	"bytes"
	"fmt"
)

func jurymastConfig(w world) []file {
	var o bytes.Buffer
	fmt.Fprintf(&o, `node:
  name: bench
  data: %s/data
  proxy: {http: ["127.0.0.1:%d"], limits: {per_client: 50000}}
  api: {listen: "127.0.0.1:%d"}
  store: {seal: {file: %[1]s/seal.key}}
profiles:
`, w.dir, w.port, w.admin)
	for i := range hosts {
		active, standby := w.of(i)
		fmt.Fprintf(&o, `  - name: p%d
    hostnames: [%s]
    routing: priority
    endpoints:
      - {name: a, target: 127.0.0.1, origin: "http://127.0.0.1:%d", always_serve: true}
      - {name: b, target: 127.0.0.2, origin: "http://127.0.0.1:%d", always_serve: true}
    proxy: {timeouts: {idle: 1h}}
`, i, host(i), active, standby)
	}
	return []file{{"jurymast.yaml", o.Bytes()}}
}

// haproxyConfig answers on its admin port so that the exporter is there, as metrics are in the others. It may not refuse to start where fewer
// files are allowed than its most connections could need.
func haproxyConfig(w world) []file {
	var c, m bytes.Buffer
	fmt.Fprintf(&c, `global
  nbthread 1
  maxconn %d
  no strict-limits
defaults
  mode http
  timeout connect 1s
  timeout client 1h
  timeout server 1m
  timeout http-keep-alive 1h
  timeout http-request 10s
  http-reuse always
  retries 2
  option splice-request
  option splice-response
frontend admin
  bind 127.0.0.1:%d
  http-request use-service prometheus-exporter if { path /metrics }
frontend in
  bind 127.0.0.1:%d
  http-request set-header X-Forwarded-For %%[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %%[req.hdr(host)]
  http-request set-header X-Forwarded-Port %%[dst_port]
  use_backend %%[req.hdr(host),field(1,:),lower,map_str(%s/hosts.map)]
`, w.connections+1000, w.admin, w.port, w.dir)
	for i := range hosts {
		active, standby := w.of(i)
		fmt.Fprintf(&m, "%s b%d\n", host(i), i)
		fmt.Fprintf(&c, "backend b%d\n  server a 127.0.0.1:%d\n  server b 127.0.0.1:%d backup\n", i, active, standby)
	}
	return []file{{"haproxy.cfg", c.Bytes()}, {"hosts.map", m.Bytes()}}
}

// nginxConfig never buffers on disk, neither requests nor answers, and its buffers are as large as HAProxy's.
func nginxConfig(w world) []file {
	var c bytes.Buffer
	fmt.Fprintf(&c, `worker_processes 1;
daemon off;
pid nginx.pid;
error_log error.log error;
worker_rlimit_nofile %d;
events { worker_connections %[1]d; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 16k;
  proxy_request_buffering off;
  proxy_buffer_size 16k;
  proxy_buffers 8 16k;
  proxy_busy_buffers_size 32k;
  proxy_max_temp_file_size 0;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto http;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Forwarded-Port $server_port;
  server { listen 127.0.0.1:%d; location /status { stub_status; } }
  server { listen 127.0.0.1:%d default_server; return 404; }
`, 2*w.connections+1000, w.admin, w.port)
	for i := range hosts {
		active, standby := w.of(i)
		fmt.Fprintf(&c, `  upstream u%d {
    server 127.0.0.1:%d;
    server 127.0.0.1:%d backup;
    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }
  server { listen 127.0.0.1:%d; server_name %s; location / { proxy_pass http://u%[1]d; } }
`, i, active, standby, w.port, host(i))
	}
	c.WriteString("}\n")
	return []file{{"nginx.conf", c.Bytes()}}
}
