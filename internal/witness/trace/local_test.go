package trace

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// put writes files below a folder that stands for the root of a file system.
func put(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// shortDir is one whose sockets' paths are not too long.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "trace") //nolint:usetesting // the name of the test would make the path of a socket too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestCachesOfThisHost(t *testing.T) {
	w, root := newTown(t), shortDir(t)
	server := w.at(3, has("dr.example.", 7, bothNames[:1], ns1Address, "www.dr.example. 30 A 192.0.2.2"))
	put(t, root, map[string]string{
		"etc/resolv.conf": "search x\n",
		"etc/hosts":       "127.0.0.1 localhost\n192.0.2.1 other WWW.dr.example # old\n192.0.2.2 www.dr.example\n::1 www.dr.example\n",
		"etc/nscd.conf":   "enable-cache hosts yes\n\tpositive-time-to-live\thosts\t600 # s\npositive-time-to-live passwd 1\n",
		"run/nscd/socket": "",
		"proc/uptime":     "1000.50 900.00\n",
	})
	rr, err := dns.NewRR("www.dr.example. 30 A 192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	wire := make([]byte, 512)
	n, err := dns.PackRR(rr, wire, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	monitor(t, root, fmt.Sprintf(`{"parameters":{"dump":[{"protocol":"dns","ifindex":2,"ifname":"eth0","cache":[{"key":{"class":1,"type":1,"name":"www.dr.example"},"rrs":[{"rr":{"key":{}},"raw":%q}],"until":1012500000}]},{"protocol":"dns","cache":[{"key":{"class":1,"type":1,"name":"www.dr.example"},"type":"nxdomain","until":1005500000}]},{"protocol":"mdns","cache":[]}]}}`,
		base64.StdEncoding.EncodeToString(wire[:n])))
	r := run(t, Options{Name: "www.dr.example", Servers: []netip.AddrPort{server}, Root: root})
	var got []string
	for _, h := range r.Local {
		got = append(got, fmt.Sprintf("%s %s %s %d %v", h.Kind, h.Address, h.State, h.Left, h.Forever))
	}
	want := `hosts /etc/hosts old 0 true
hosts /etc/hosts current 0 true
systemd-resolved eth0 old 12 false
systemd-resolved all links old 5 false
nscd /run/nscd/socket unknown 600 false`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	if len(r.Outlook.Never) != 1 || r.Outlook.Agree || r.Outlook.By.Seconds != 600 {
		t.Errorf("%+v", r.Outlook)
	}
}

// monitor is systemd-resolved's varlink socket, once.
func monitor(t *testing.T, root, reply string) {
	t.Helper()
	name := filepath.Join(root, resolvedMonitor)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		if n, _ := conn.Read(buf); strings.HasSuffix(string(buf[:n]), "\x00") {
			_, _ = conn.Write([]byte(reply + "\x00"))
		}
	}()
}

func TestResolvedThatRefuses(t *testing.T) {
	w, root := newTown(t), shortDir(t)
	server := w.at(3, has("dr.example.", 7, bothNames[:1], ns1Address, "www.dr.example. 30 A 192.0.2.2"))
	put(t, root, map[string]string{"etc/resolv.conf": ""})
	monitor(t, root, `{"error":"org.varlink.service.MethodNotFound","parameters":{}}`)
	r := run(t, Options{Name: "www.dr.example", Servers: []netip.AddrPort{server}, Root: root})
	if len(r.Local) != 1 || !strings.Contains(r.Local[0].Trouble, "MethodNotFound") || r.Local[0].State != Unknown || !r.Outlook.Agree {
		t.Errorf("%+v", r)
	}
}

func TestSystemResolvers(t *testing.T) {
	root := shortDir(t)
	put(t, root, map[string]string{
		"etc/resolv.conf":                 "nameserver 127.0.0.53\nnameserver 2001:db8::1\n",
		"run/systemd/resolve/resolv.conf": "nameserver 192.0.2.53\nnameserver 2001:db8::1\n",
	})
	tr := &tracer{o: Options{Root: root}}
	tr.gather()
	var got []string
	for _, r := range tr.resolvers {
		got = append(got, r.Addr.String()+" "+r.Source)
	}
	want := "127.0.0.53:53 /etc/resolv.conf (systemd-resolved)|[2001:db8::1]:53 /etc/resolv.conf|192.0.2.53:53 /run/systemd/resolve/resolv.conf"
	if strings.Join(got, "|") != want {
		t.Errorf("%v", got)
	}
}

func TestJava(t *testing.T) {
	root := shortDir(t)
	line := func(args ...string) string { return strings.Join(args, "\x00") + "\x00" }
	put(t, root, map[string]string{
		"proc/7/cmdline":                      line("bash", "-c", "java"),
		"proc/11/cmdline":                     line("/opt/plain/bin/java", "-Xmx1g", "-Ddb.password=hunter2", "-jar", "a.jar", "-Dsun.net.inetaddr.ttl=1"),
		"proc/12/cmdline":                     line("/opt/plain/bin/java", "-Dsun.net.inetaddr.ttl=5", "Main"),
		"proc/13/cmdline":                     line("/opt/plain/bin/java", "-Dnetworkaddress.cache.ttl=0", "Main"),
		"proc/14/cmdline":                     line("/opt/plain/bin/java", "-Djava.security.manager", "Main"),
		"proc/15/cmdline":                     line("/opt/jdk/bin/java", "-Dsun.net.inetaddr.ttl=5", "Main"),
		"proc/16/cmdline":                     line("/opt/jdk/bin/java", "-Djava.security.properties=/etc/extra", "Main"),
		"proc/17/cmdline":                     line("/opt/plain/bin/java", "-Djava.security.manager=allow", "Main"),
		"opt/jdk/conf/security/java.security": "#networkaddress.cache.ttl=3\nnetworkaddress.cache.ttl = -7\n",
		"etc/extra":                           "networkaddress.cache.ttl=10\n",
		"opt/plain/jre/lib/security/java.security.orig": "networkaddress.cache.ttl=1\n",
	})
	var got []string
	tr := &tracer{o: Options{Root: root}}
	for _, j := range tr.java() {
		got = append(got, fmt.Sprint(j.PID, " ", j.TTL, " ", j.Default, " ", j.From, " ", j.Note))
	}
	want := `11 30 true default 
12 5 false -Dsun.net.inetaddr.ttl 
13 30 true default -Dnetworkaddress.cache.ttl has no effect, it is a security property
14 -1 true default with a security manager 
15 -1 false /opt/jdk/conf/security/java.security 
16 10 false /etc/extra 
17 30 true default `
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestNames(t *testing.T) {
	for text, want := range map[string]string{
		"WWW.Example":           "www.example.",
		"www.example.":          "www.example.",
		"bücher.example":        "xn--bcher-kva.example.",
		"MÜNCHEN.example":       "xn--mnchen-3ya.example.",
		"例え。テスト":                "xn--r8jz45g.xn--zckzah.",
		"_sip._tcp.x":           "_sip._tcp.x.",
		`a\.b.example`:          `a\.b.example.`,
		".":                     ".",
		"a..b":                  "",
		"":                      "",
		"bu\u0308cher.test":     "xn--bcher-kva.test.", // composed
		"ｗｗｗ｡faß.example":       "www.xn--fa-hia.example.",
		"a\u202eb.ü.example":    "",
		"_ü.example":            "",
		"xn--a-\u00fc.example":  "",
		"\xff.example":          "",
		strings.Repeat("a", 64): "",
	} {
		got, err := ParseName(text)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestHints(t *testing.T) {
	list, err := ReadHints(strings.NewReader(". 3600000 NS A.ROOT.\na.root. 3600000 A 192.0.2.1\na.root. 3600000 AAAA 2001:db8::1\n"), "named.root")
	if err != nil || len(list) != 2 || list[0] != (Root{"a.root.", netip.MustParseAddrPort("192.0.2.1:53")}) {
		t.Errorf("%v, %v", list, err)
	}
	for _, bad := range []string{"", "nonsense\n", ". 60 NS a.root.\n"} {
		if _, err := ReadHints(strings.NewReader(bad), "f"); err == nil || !strings.Contains(err.Error(), "root hints") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
