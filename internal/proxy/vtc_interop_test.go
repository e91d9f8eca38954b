//go:build interop

package proxy_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"testing"

	"jurymast/internal/profile"
	"jurymast/internal/proxy"
	"jurymast/internal/testbed"
)

// TestInteropVarnishtest runs the scripts of testdata/vtc, in which varnishtest is client and origin.
func TestInteropVarnishtest(t *testing.T) {
	tool := testbed.Tool(t, "varnishtest")
	scripts, err := filepath.Glob("testdata/vtc/*.vtc")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, script := range scripts {
		t.Run(filepath.Base(script), func(t *testing.T) {
			origin := free(t)
			r := newRig(t, func(_ *proxy.Options, p *profile.Profile) { p.Endpoints[0].Origin = "http://" + origin })
			out, err := exec.CommandContext(t.Context(), tool, "-t", "20", "-Dproxy="+r.addr, "-Dorigin="+origin, script).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// free is an address of loopback that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}
