package xdp

const (
	VerdictPass = verdictPass
	VerdictSend = verdictSend
)

type fataler interface {
	Helper()
	Fatal(args ...any)
}

// Try runs the program on one frame, without an interface.
func (t *Table) Try(tb fataler, frame []byte) (verdict uint32, out []byte) {
	tb.Helper()
	verdict, out, err := t.program.Test(frame)
	if err != nil {
		tb.Fatal(err)
	}
	return verdict, out
}
