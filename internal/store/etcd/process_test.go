package etcd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"jurymast/internal/store"
	"jurymast/internal/store/etcd"
)

// The tests of whole processes start this test binary again with a role.
const (
	roleVar = "JURYMAST_STORE_TEST_ROLE"
	dirVar  = "JURYMAST_STORE_TEST_DIR"
)

func TestMain(m *testing.M) {
	roles := map[string]func(dir string) error{"commit": commitForEver, "limited": limitedFiles, "idle": idle, "leak": leak}
	role, ok := roles[os.Getenv(roleVar)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := role(os.Getenv(dirVar)); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("done")
}

func child(t *testing.T, role, dir string, env ...string) (*exec.Cmd, *bufio.Scanner, *logBuffer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), roleVar+"="+role, dirVar+"="+dir), env...)
	out, err := cmd.StdoutPipe()
	must(t, err)
	stderr := &logBuffer{}
	cmd.Stderr = stderr
	must(t, cmd.Start())
	return cmd, bufio.NewScanner(out), stderr
}

// commitForEver prints each key after its commit was acknowledged.
func commitForEver(dir string) error {
	s, err := etcd.Open(context.Background(), etcd.Options{Dir: dir})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := put(context.Background(), s, "/k/"+strconv.Itoa(i)); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// Each round begins on what the last one left; the writer counts from 0 again and overwrites.
	for _, kill := range []int{1, 50, 700, 1500} {
		cmd, lines, stderr := child(t, "commit", dir)
		last := -1
		for lines.Scan() {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatalf("the writer says %q\n%s", lines.Text(), stderr)
			}
			if last = n; n == kill {
				must(t, cmd.Process.Kill())
			}
		}
		_ = cmd.Wait()
		if last < kill {
			t.Fatalf("the writer ended after %d of %d: %s", last, kill, stderr)
		}
		s := open(t, etcd.Options{Dir: dir})
		kvs, _, err := s.List(t.Context(), "/k/")
		must(t, err)
		there := map[string]bool{}
		for _, kv := range kvs {
			there[kv.Key] = string(kv.Value) == kv.Key
		}
		for i := range last + 1 {
			if !there["/k/"+strconv.Itoa(i)] {
				t.Fatalf("acknowledged commit %d of %d is lost", i, last)
			}
		}
		must(t, s.Close())
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, etcd.Options{Dir: dir})
	begin := time.Now()
	_, err := tryOpen(t, etcd.Options{Dir: dir})
	if !errors.Is(err, etcd.ErrDir) {
		t.Fatalf("second store of this process: %v", err)
	}
	cmd, lines, _ := child(t, "commit", dir)
	lines.Scan()
	if !strings.Contains(lines.Text(), "in use by another jurymast") {
		t.Fatalf("second process: %q", lines.Text())
	}
	_ = cmd.Wait()
	if d := time.Since(begin); d > 5*time.Second {
		t.Fatalf("took %v", d)
	}
	must(t, put(t.Context(), s, "/still/works"))
}

// limitedFiles makes every write beyond a file size fail, as a full disk does, then lifts the limit.
func limitedFiles(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := etcd.Open(context.Background(), etcd.Options{Dir: dir, CloseTimeout: 3 * time.Second})
	if err != nil {
		return err
	}
	if err := put(context.Background(), s, "/before"); err != nil {
		return err
	}
	watch := s.Watch(context.Background(), "/", 0)
	if b := <-watch; b.Err != nil {
		return b.Err
	}
	limit, err := strconv.ParseUint(os.Getenv("JURYMAST_STORE_TEST_LIMIT"), 10, 64)
	if err != nil {
		return err
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: old.Max}); err != nil {
		return err
	}
	acked, err := writeUntilError(s)
	fmt.Println("acknowledged", len(acked), "then", err)
	if !errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("wanted ErrUnavailable, got %w", err)
	}
	if err := expectFailed(s, watch); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	return reopenAndCheck(dir, acked)
}

func writeUntilError(s *etcd.Store) ([]string, error) {
	var acked []string
	for i := range 10_000 {
		key := "/k/" + strconv.Itoa(i)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		begin := time.Now()
		_, _, err := s.Commit(ctx, nil, []store.Op{store.Put(key, make([]byte, 50_000)), store.Put(key+"/2", nil)})
		cancel()
		if d := time.Since(begin); d > 3*time.Second {
			return acked, fmt.Errorf("a commit with a deadline of 2s took %v: %w", d, err)
		}
		if err != nil {
			return acked, err
		}
		acked = append(acked, key)
	}
	return acked, nil
}

// expectFailed: the store says that it has failed, calls fail fast, the watch ends with an error.
func expectFailed(s *etcd.Store, watch <-chan store.Batch) error {
	select {
	case <-s.Failed():
		fmt.Println("failed:", s.FailedBecause())
	case <-time.After(10 * time.Second):
		return errors.New("the store does not say that it has failed")
	}
	begin := time.Now()
	if _, _, err := s.Get(context.Background(), "/before"); !errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("get: %w", err)
	}
	if d := time.Since(begin); d > 100*time.Millisecond {
		return fmt.Errorf("a call to a failed store took %v", d)
	}
	for b := range watch {
		if b.Err != nil && !errors.Is(b.Err, store.ErrUnavailable) {
			return b.Err
		}
	}
	return nil
}

// reopenAndCheck opens the store again in the same process: everything acknowledged is there and it works.
func reopenAndCheck(dir string, acked []string) error {
	s, err := etcd.Open(context.Background(), etcd.Options{Dir: dir})
	if err != nil {
		return fmt.Errorf("reopen: %w", err)
	}
	for _, k := range append(acked, "/before") {
		if _, ok, err := s.Get(context.Background(), k); err != nil || !ok {
			return fmt.Errorf("acknowledged key %s after reopening: %v %w", k, ok, err)
		}
	}
	for i := range 300 {
		if err := put(context.Background(), s, "/after/"+strconv.Itoa(i)); err != nil {
			return fmt.Errorf("write after reopening: %w", err)
		}
	}
	time.Sleep(300 * time.Millisecond) // lets the server left behind try what it may not
	return s.Close()
}

func TestFailedWritesDoNotEndTheProcess(t *testing.T) {
	t.Parallel()
	for what, limit := range map[string]string{
		"nothing can be written":      "4096",
		"log cannot go on":            "4194304", // in the middle of a segment
		"next segment cannot be made": "8000000", // less than a segment
		"database cannot grow":        "20000000",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			cmd, lines, stderr := child(t, "limited", t.TempDir(), "JURYMAST_STORE_TEST_LIMIT="+limit)
			last := ""
			for lines.Scan() {
				last = lines.Text()
				t.Log(last)
			}
			if err := cmd.Wait(); err != nil || last != "done" {
				t.Fatalf("the process ended with %v\n%s", err, stderr)
			}
			if stderr.String() != "" {
				t.Errorf("on stderr: %s", stderr)
			}
		})
	}
}

// leak opens and closes stores and looks at what is left of them.
func leak(dir string) error {
	before := 0
	for round := range 4 {
		if err := useOnce(dir); err != nil {
			return err
		}
		time.Sleep(500 * time.Millisecond)
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return err
		}
		now := runtime.NumGoroutine()
		fmt.Println("round", round, "goroutines", now, "files", len(fds))
		if round == 1 {
			before = now
		}
		if round > 1 && now > before {
			buf := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "%s", buf[:runtime.Stack(buf, true)])
			return fmt.Errorf("%d goroutines after round %d, %d before", now, round, before)
		}
	}
	return nil
}

func useOnce(dir string) error {
	s, err := etcd.Open(context.Background(), etcd.Options{Dir: dir})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := s.Watch(ctx, "/", 0)
	if err := put(ctx, s, "/k"); err != nil {
		return err
	}
	<-w
	return s.Close()
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	cmd, lines, stderr := child(t, "leak", t.TempDir())
	for lines.Scan() {
		t.Log(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
}

func TestIdleMemory(t *testing.T) {
	cmd, lines, stderr := child(t, "idle", t.TempDir())
	rss := 0
	for lines.Scan() {
		t.Log(lines.Text())
		if f := strings.Fields(lines.Text()); f[0] == "VmRSS:" {
			rss, _ = strconv.Atoi(f[1])
		}
	}
	if err := cmd.Wait(); err != nil || rss == 0 || rss > 80*1024 {
		t.Fatalf("%d KiB, at most 80 MiB are allowed; %v\n%s", rss, err, stderr)
	}
}

// idle prints the memory of a process with an idle store in it.
func idle(dir string) error {
	s, err := etcd.Open(context.Background(), etcd.Options{Dir: dir})
	if err != nil {
		return err
	}
	for i := range 1000 {
		if err := put(context.Background(), s, "/k/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	time.Sleep(2 * time.Second) // idle means idle
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "VmRSS:") || strings.HasPrefix(line, "RssAnon:") {
			fmt.Print(line)
		}
	}
	return s.Close()
}
