package demo

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// config is the demo's configuration; @NAME@ are the ports of this run.
const config = `# Written by "jurymast demo". Two tenants, one node, everything on loopback.
node:
  name: demo
  location: eu-central
  data: @DATA@
  nameserver: {listen: ["127.0.0.1:@DNS@"]}
  proxy: {http: ["127.0.0.1:@HTTP@"]}
  api: {listen: "127.0.0.1:@API@"}
zones:
  - name: dr.example
    nameservers: [ns1.dr.example]
    hostmaster: ops.dr.example
    records: |
      ns1  300 A     127.0.0.1
      www  300 CNAME integration.dr.example.
profiles:
  - name: integration
    hostnames: [integration.dr.example]
    routing: priority
    ttl: 5s
    failback: {mode: auto}
    monitor: {protocol: http, path: /http/health, interval: 1s, timeout: 300ms, tolerated_failures: 1, recovery_successes: 2}
    endpoints:
      - {name: eu20, target: 127.0.0.11, origin: "http://127.0.0.1:@EU20@", priority: 1}
      - {name: us21, target: 127.0.0.12, origin: "http://127.0.0.1:@US21@", priority: 2}
    proxy: {mode: failover}
`

const publicName = "integration.dr.example"

// site is where this run's parts live.
type site struct {
	dir, file                        string
	dns, http, api, eu20, us21       string // host:port
	eu20Control, us21Control, binary string
}

// layOut makes a folder, picks free ports and writes the configuration.
func layOut(ctx context.Context) (*site, error) {
	dir, err := os.MkdirTemp("", "jurymast-demo-")
	if err != nil {
		return nil, err
	}
	bin, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &site{dir: dir, file: filepath.Join(dir, "jurymast.yaml"), binary: bin}
	names := map[string]*string{
		"DNS": &s.dns, "HTTP": &s.http, "API": &s.api, "EU20": &s.eu20, "US21": &s.us21, "C1": &s.eu20Control, "C2": &s.us21Control,
	}
	text := strings.ReplaceAll(config, "@DATA@", filepath.Join(dir, "data"))
	ports, err := freePorts(ctx, len(names))
	if err != nil {
		return nil, err
	}
	for name, addr := range names {
		port := ports[0]
		ports = ports[1:]
		*addr = fmt.Sprintf("127.0.0.1:%d", port)
		text = strings.ReplaceAll(text, "@"+name+"@", fmt.Sprint(port))
	}
	return s, os.WriteFile(s.file, []byte(text), 0o600)
}

// freePorts asks the system for ports that are free for TCP and UDP. Somebody may still be faster; then the node says
// which address is taken.
func freePorts(ctx context.Context, n int) ([]int, error) {
	var lc net.ListenConfig
	var out []int
	for len(out) < n {
		l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		u, err := lc.ListenPacket(ctx, "udp", l.Addr().String())
		if err != nil {
			continue // taken for UDP: another one
		}
		defer func() { _ = u.Close() }()
		out = append(out, l.Addr().(*net.TCPAddr).Port) //nolint:errcheck,forcetypeassert // a TCP listener
	}
	return out, nil
}
