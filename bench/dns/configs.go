package main

import (
	"bytes"
	"fmt"
)

const (
	zone     = "bench.example"
	primary  = "127.0.0.11"
	standby  = "127.0.0.12"
	ttl      = 30
	flappers = 10 // profiles whose preferred endpoint flips, one probe a second each
)

// name is the i-th name asked for.
func name(i int) string { return fmt.Sprintf("n%d.%s", i, zone) }

// jurymastConfig writes static names with $GENERATE: a shared document is at most 1 MiB.
func jurymastConfig(dir string, port, api int, w world) []byte {
	var o bytes.Buffer
	fmt.Fprintf(&o, `node:
  name: bench
  data: %s/data
  nameserver: {listen: ["127.0.0.1:%d"], udp: {%s}}
  api: {listen: "127.0.0.1:%d"}
  store: {seal: {file: %[1]s/seal.key}}
zones:
  - name: %[5]s
    dnssec: {enabled: %[8]t}
    nameservers: [ns1.%[5]s]
    hostmaster: ops.%[5]s
    records: |
      ns1 300 A 127.0.0.1
      edition %[6]d TXT "%[7]d"
`, dir, port, w.udp, api, zone, ttl, w.edition, w.signed)
	if !w.dynamic {
		const most = 1_000 // steps of one $GENERATE
		for from := 0; from < w.names; from += most {
			fmt.Fprintf(&o, "      $GENERATE %d-%d n$ %d A %s\n", from, min(from+most, w.names)-1, ttl, primary)
		}
		return o.Bytes()
	}
	o.WriteString("profiles:\n")
	for i := range w.names {
		fmt.Fprintf(&o, "  - name: p%d\n    hostnames: [%s]\n    ttl: %ds\n    routing: priority\n    endpoints:\n", i, name(i), ttl)
		if w.origin != "" && i < flappers {
			fmt.Fprintf(&o, "      - name: a\n        target: %s\n        origin: %q\n", primary, w.origin)
			fmt.Fprintf(&o, "        monitor: {protocol: http, path: /%d, interval: 1s, timeout: 500ms, tolerated_failures: 0}\n", i)
		} else {
			fmt.Fprintf(&o, "      - {name: a, target: %s, always_serve: true}\n", primary)
		}
		fmt.Fprintf(&o, "      - {name: b, target: %s, always_serve: true}\n", standby)
	}
	return o.Bytes()
}

func gdnsdConfig(dir string, port, _ int, w world) []file {
	var c, z bytes.Buffer
	fmt.Fprintf(&c, `options => {
  listen => [ "127.0.0.1:%d" ],
  run_dir => "%s/run",
  state_dir => "%[2]s/state",
  udp_threads => 1, tcp_threads => 1,
}
`, port, dir)
	zoneHead(&z)
	if w.dynamic {
		c.WriteString("plugins => { simplefo => {\n")
	}
	for i := range w.names {
		if w.dynamic {
			fmt.Fprintf(&c, "  r%d => { service_types => \"up\", primary => %s, secondary => %s },\n", i, primary, standby)
			fmt.Fprintf(&z, "n%d %d DYNA simplefo!r%d\n", i, ttl, i)
			continue
		}
		fmt.Fprintf(&z, "n%d %d A %s\n", i, ttl, primary)
	}
	if w.dynamic {
		c.WriteString("} }\n")
	}
	return []file{{"config", c.Bytes()}, {"zones/" + zone, z.Bytes()}, {"run/", nil}, {"state/", nil}}
}

func knotConfig(dir string, port, _ int, w world) []file {
	c := fmt.Appendf(nil, `server:
  listen: 127.0.0.1@%d
  rundir: %s
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: %[2]s
log:
  - target: stderr
    any: warning
template:
  - id: default
    storage: %[2]s
    zonefile-sync: -1
zone:
  - domain: %s
    file: zone
    dnssec-signing: %t
`, port, dir, zone, w.signed)
	return []file{{"knot.conf", c}, {"zone", staticZone(w)}}
}

// nsdConfig switches the rate limit off: it holds for loopback too, from 200 answers per second.
func nsdConfig(dir string, port, _ int, w world) []file {
	c := fmt.Appendf(nil, `server:
  server-count: 1
  ip-address: 127.0.0.1@%d
  username: ""
  chroot: ""
  zonesdir: "%s"
  database: ""
  pidfile: "%[2]s/nsd.pid"
  xfrdfile: "%[2]s/xfrd.state"
  zonelistfile: "%[2]s/zones.list"
  minimal-responses: yes
  rrl-ratelimit: 0
  answer-cookie: yes
remote-control:
  control-enable: no
zone:
  name: %s
  zonefile: zone
`, port, dir, zone)
	return []file{{"nsd.conf", c}, {"zone", staticZone(w)}}
}

func zoneHead(z *bytes.Buffer) {
	fmt.Fprintf(z, "$TTL %d\n@ SOA ns1 ops 1 3600 600 1209600 60\n@ NS ns1\nns1 A 127.0.0.1\n", ttl)
}

func staticZone(w world) []byte {
	var z bytes.Buffer
	fmt.Fprintf(&z, "$ORIGIN %s.\n", zone)
	zoneHead(&z)
	for i := range w.names {
		fmt.Fprintf(&z, "n%d %d A %s\n", i, ttl, primary)
	}
	return z.Bytes()
}
