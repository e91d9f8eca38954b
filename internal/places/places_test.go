package places_test

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jurymast/internal/geo"
	"jurymast/internal/places"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// rig is an open Places whose files a test replaces.
type rig struct {
	*places.Places
	t       *testing.T
	changed chan struct{}
	log     *bytes.Buffer // read it after Close or after a change
}

func open(t *testing.T, database, latency string) *rig {
	t.Helper()
	r := &rig{t: t, changed: make(chan struct{}, 100), log: &bytes.Buffer{}}
	p, err := places.Open(places.Options{
		Database: database, Latency: latency, Logger: slog.New(slog.NewTextHandler(r.log, nil)),
		Changed: func() {
			select {
			case r.changed <- struct{}{}:
			default: // enough are waiting
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Places = p
	t.Cleanup(p.Close)
	return r
}

// wait waits until a change was looked at and holds is true: an event may come between two writes of one change.
func (r *rig) wait(what string, holds func() bool) {
	r.t.Helper()
	limit := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-r.changed:
		case <-limit:
			r.t.Fatalf("%s: did not come; %+v", what, r.Status())
		}
	}
}

func (r *rig) code(a string) string { return r.Place(addr(a)).Code.String() }

func (r *rig) ms(a string) time.Duration {
	d, _ := r.Row(addr(a)).To("eucentral")
	return d
}

var (
	german = []network{{"192.0.2.0/24", "DE", "", "", 50, 8}}
	french = []network{{"192.0.2.0/24", "FR", "", "", 48, 2}}
)

func TestGoodFilesAreSwappedAndBadOnesRefused(t *testing.T) {
	db := temp(t, "geo.mmdb", writeCity(t, german))
	csv := temp(t, "latency.csv", []byte("192.0.2.0/24,eu-central,10\n"))
	r := open(t, db, csv)
	if r.code("192.0.2.1") != "DE" || r.ms("192.0.2.1") != 10*time.Millisecond {
		t.Fatal("the first reading is wrong")
	}
	for i, s := range r.Status() {
		if s.Path != []string{db, csv}[i] || s.Kind != []places.Kind{places.KindDatabase, places.KindLatency}[i] || s.Records != 1 || s.Fault != "" || s.Modified.IsZero() {
			t.Errorf("%+v", s)
		}
	}
	if s := r.Status()[0]; !s.Built.Equal(time.Unix(builtAt, 0)) || s.Type != "Test-City" {
		t.Errorf("%+v", s)
	}

	put(t, db, writeCity(t, french))
	r.wait("new database", func() bool { return r.code("192.0.2.1") == "FR" })
	put(t, csv, []byte("192.0.2.0/24,eu-central,20\n192.0.2.0/25,eu-central,21\n"))
	r.wait("new table", func() bool { return r.ms("192.0.2.1") == 21*time.Millisecond && r.Status()[1].Records == 2 })

	put(t, db, writeCity(t, german)[:500])
	r.wait("fault of the database", func() bool { return r.Status()[0].Fault != "" })
	put(t, csv, []byte("192.0.2.0/24,eu-central,ten\n"))
	r.wait("fault of the table", func() bool { return r.Status()[1].Fault != "" })
	if r.code("192.0.2.1") != "FR" || r.ms("192.0.2.1") != 21*time.Millisecond {
		t.Error("a bad file took the place of a good one")
	}
	if s := r.Status(); s[0].Type != "Test-City" || s[1].Records != 2 || !strings.Contains(s[1].Fault, "line 1") || !strings.Contains(s[0].Fault, db) {
		t.Errorf("%+v", s)
	}

	if err := os.Remove(csv); err != nil {
		t.Fatal(err)
	}
	r.wait("missing table", func() bool { return strings.Contains(r.Status()[1].Fault, "no such file") })
	if r.ms("192.0.2.1") != 21*time.Millisecond {
		t.Error("a missing file took the place of a good one")
	}
	put(t, csv, []byte("192.0.2.0/24,eu-central,30\n"))
	put(t, db, writeCity(t, german))
	r.wait("good again", func() bool {
		s := r.Status()
		return s[0].Fault == "" && s[1].Fault == "" && r.code("192.0.2.1") == "DE" && r.ms("192.0.2.1") == 30*time.Millisecond
	})
	r.Close()
	r.Close()
	if r.code("192.0.2.1") != "DE" {
		t.Error("nothing is known after Close")
	}
	if log := r.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "level=INFO") {
		t.Errorf("log:\n%s", log)
	}
}

// TestMountedFile changes a file as container platforms do: the file is a link into a folder that is a link itself.
func TestMountedFile(t *testing.T) {
	dir := t.TempDir()
	publish := func(version string, networks []network) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, version, "geo.mmdb"), writeCity(t, networks))
		if err := os.Symlink(version, filepath.Join(dir, "..new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("..1", german)
	path := filepath.Join(dir, "geo.mmdb")
	if err := os.Symlink("..data/geo.mmdb", path); err != nil {
		t.Fatal(err)
	}
	r := open(t, path, "")
	publish("..2", french)
	r.wait("new version", func() bool { return r.code("192.0.2.1") == "FR" })
}

func TestReloadTellsWhatIsWrong(t *testing.T) {
	db := temp(t, "geo.mmdb", writeCity(t, german))
	r := open(t, db, "")
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	put(t, db, []byte("no database"))
	err := r.Reload()
	if err == nil || !strings.Contains(err.Error(), db) || !strings.Contains(err.Error(), "GeoLite2-City") {
		t.Errorf("%v", err)
	}
	if r.code("192.0.2.1") != "DE" || r.Status()[0].Fault != err.Error() {
		t.Errorf("%s %+v", r.code("192.0.2.1"), r.Status())
	}
	put(t, db, writeCity(t, french))
	if err := r.Reload(); err != nil || r.code("192.0.2.1") != "FR" || r.Status()[0].Fault != "" {
		t.Errorf("%v %+v", err, r.Status())
	}
}

func TestOpenRefuses(t *testing.T) {
	good := temp(t, "geo.mmdb", writeCity(t, german))
	dir := t.TempDir()
	for name, c := range map[string]struct {
		o    places.Options
		want []string
	}{
		"both missing": {places.Options{Database: dir + "/a.mmdb", Latency: dir + "/b.csv"}, []string{dir + "/a.mmdb", dir + "/b.csv", "prefix,region,ms", "unpacked"}},
		"no folder":    {places.Options{Database: dir + "/none/a.mmdb"}, []string{"no such file"}},
		"a folder":     {places.Options{Database: dir}, []string{"no regular file"}},
		"a table":      {places.Options{Database: temp(t, "x", []byte("192.0.2.0/24,eu-central,10\n"))}, []string{"invalid MaxMind DB"}},
		"a database":   {places.Options{Latency: good}, []string{"line 1"}},
		"empty":        {places.Options{Database: temp(t, "y", nil)}, []string{"invalid MaxMind DB"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := places.Open(c.o)
			if err == nil {
				p.Close()
				t.Fatal("opened")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestNoFilesKnowNothing(t *testing.T) {
	p, err := places.Open(places.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if got := p.Place(addr("192.0.2.1")); got != (geo.Place{}) || p.Row(addr("192.0.2.1")) != nil || len(p.Status()) != 0 || p.Reload() != nil || p.Table() != nil {
		t.Errorf("%+v", got)
	}
}

// TestReadersDuringSwaps asks without pause while the files change: every answer is one of the two, whole.
func TestReadersDuringSwaps(t *testing.T) {
	versions := [][]byte{writeCity(t, german), writeCity(t, french)}
	tables := [][]byte{[]byte("192.0.2.0/24,eu-central,10\n"), []byte("0.0.0.0/0,x,1\n192.0.2.0/25,eu-central,20\n")}
	db, csv := temp(t, "geo.mmdb", versions[0]), temp(t, "latency.csv", tables[0])
	r := open(t, db, csv)
	var wg sync.WaitGroup
	var stop atomic.Bool
	var seen [2]atomic.Int64
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				p := r.Place(addr("192.0.2.77"))
				switch {
				case p.Code.String() == "DE" && p.Position == geo.Position{Lat: 50, Lon: 8} && p.Bits == 24:
					seen[0].Add(1)
				case p.Code.String() == "FR" && p.Position == geo.Position{Lat: 48, Lon: 2} && p.Bits == 24:
					seen[1].Add(1)
				default:
					t.Errorf("%+v", p)
					return
				}
				row := r.Row(addr("192.0.2.77"))
				if d, ok := row.To("eucentral"); !ok || (d != 10*time.Millisecond && d != 20*time.Millisecond) {
					t.Errorf("%v %v", d, ok)
					return
				}
			}
		})
	}
	for i := range 100 {
		before := seen[i%2].Load()
		put(t, db, versions[i%2])
		put(t, csv, tables[i%2])
		if err := r.Reload(); err != nil {
			t.Error(err)
		}
		<-r.changed
		for seen[i%2].Load() == before && !t.Failed() { // every version has been asked
			_ = r.Status()
		}
	}
	stop.Store(true)
	wg.Wait()
}
