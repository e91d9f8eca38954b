//go:build interop && linux

package rawcases

import (
	"fmt"
	"net"
	"os"
)

// nodeScript answers as Recorder does.
func nodeScript(port int) string {
	return fmt.Sprintf(`
const hex = s => Buffer.from(s, 'latin1').toString('hex');
const see = (q, r) => {
  let n = 0;
  q.on('data', c => n += c.length);
  q.on('end', () => { r.setHeader('X-Saw', [hex(q.method), hex(q.url), hex(q.headers.host || ''), n].join('.')); r.end(); });
};
require('http').createServer(see).on('checkContinue', (q, r) => { r.writeContinue(); see(q, r); }).listen(%d, '127.0.0.1');
`, port)
}

// The configurations below pass on what comes as it comes, as far as the programs can.

func nginxConf(dir string, port int, origin string) string {
	return fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log stderr crit;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  map $http_host $passed { "" $host; default $http_host; }
  server {
    listen 127.0.0.1:%[2]d; merge_slashes off; proxy_buffer_size 32k; proxy_buffers 8 32k; proxy_busy_buffers_size 64k;
    location / { proxy_pass http://%[3]s; proxy_http_version 1.1; proxy_set_header Host $passed; proxy_set_header Connection ""; }
  }
}
`, dir, port, origin)
}

func apacheConf(dir string, port int, origin string) string {
	user := ""
	if os.Getuid() == 0 {
		user = "User www-data\nGroup www-data\n"
	}
	const modules = "/usr/lib/apache2/modules"
	return fmt.Sprintf(`
LoadModule mpm_event_module %[4]s/mod_mpm_event.so
LoadModule authz_core_module %[4]s/mod_authz_core.so
LoadModule proxy_module %[4]s/mod_proxy.so
LoadModule proxy_http_module %[4]s/mod_proxy_http.so
%[5]sServerName localhost
PidFile %[1]s/pid
DefaultRuntimeDir %[1]s
ErrorLog %[1]s/errors
Listen 127.0.0.1:%[2]d
AllowEncodedSlashes NoDecode
MergeSlashes Off
ProxyPreserveHost On
ProxyPass / http://%[3]s/ nocanon
<Location />
  Require all granted
</Location>
`, dir, port, origin, modules, user)
}

func lighttpdConf(dir string, port int, origin string) string {
	host, to, _ := net.SplitHostPort(origin)
	return fmt.Sprintf(`
server.modules = ("mod_proxy")
server.document-root = "%s"
server.bind = "127.0.0.1"
server.port = %d
server.http-parseopts = ("url-normalize" => "disable")
proxy.server = ("" => (("host" => "%s", "port" => %s)))
`, dir, port, host, to)
}

func caddyConf(port int, origin string) string {
	return fmt.Sprintf(`
{
  admin off
  auto_https off
}
http://:%d {
  bind 127.0.0.1
  reverse_proxy %s
}
`, port, origin)
}

func haproxyConf(port int, origin string) string {
	return fmt.Sprintf(`
global
  maxconn 500
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
frontend f
  bind 127.0.0.1:%d
  default_backend b
backend b
  server s %s
`, port, origin)
}
