package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"jurymast/internal/profile"
)

// talk fills in what tcp needs beside a place.
func (s *Spec) talk(m *profile.Monitor) (err error) {
	s.Reset = m.Close == profile.CloseReset
	if s.Send, err = unescaped("monitor.send", m.Send); err != nil {
		return err
	}
	s.Expect.Text, err = unescaped("monitor.expect.text", m.Expect.Text)
	return err
}

// unescaped decodes \r \n \t \\ and \xNN.
func unescaped(key, text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		rest := text[i+1:]
		simple := strings.IndexByte(`rnt\`, (rest + "\x00")[0])
		if simple >= 0 {
			b.WriteByte("\r\n\t\\"[simple])
			i++
			continue
		}
		if len(rest) >= 3 && rest[0] == 'x' {
			if v, err := strconv.ParseUint(rest[1:3], 16, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		return "", fmt.Errorf(`%s: %q is no escape; allowed: \r \n \t \xNN, and \\ for a backslash`, key, clip(text[i:]))
	}
	return b.String(), nil
}

// converse says what is to be said and waits for what the peer must say.
func (r *run) converse(ctx context.Context, conn net.Conn) *failure {
	r.seen = "connected to " + conn.RemoteAddr().String()
	if r.spec.Send != "" {
		r.begin(ctx, conn, "status", r.spec.Parts.Status)
		if _, err := io.WriteString(conn, r.spec.Send); err != nil {
			f := r.broke(ctx, err, ClassProtocol, "send", "sending")
			r.phase(PhaseRequest, f.reason)
			return f
		}
		r.phase(PhaseRequest, strconv.Quote(r.spec.Send))
	}
	if r.spec.Expect.Text == "" {
		return nil
	}
	r.begin(ctx, conn, "body", r.spec.Parts.Body)
	heard, f := r.listen(ctx, conn)
	r.phase(PhaseBody, excerpt(heard))
	if f != nil {
		r.phase(PhaseRule, "failed: "+f.reason)
		return f
	}
	r.seen += ", answer matches"
	r.phase(PhaseRule, r.seen)
	return nil
}

// listen reads until the text was found, the peer ends, the limit is reached or the time is over.
func (r *run) listen(ctx context.Context, conn net.Conn) ([]byte, *failure) {
	want, limit := []byte(r.spec.Expect.Text), r.spec.bodyLimit()
	part := takeBuffer()
	defer giveBuffer(part)
	var heard []byte
	for {
		n, err := conn.Read(part[:min(len(part), limit-len(heard))])
		from := max(0, len(heard)-len(want)+1)
		heard = append(heard, part[:n]...)
		switch {
		case bytes.Contains(heard[from:], want):
			return heard, nil
		case len(heard) >= limit:
			return heard, failed(ClassBody, "the peer did not say %q in its first %d bytes", r.spec.Expect.Text, limit)
		case err == nil:
		case errors.Is(err, io.EOF):
			return heard, failed(ClassBody, "the peer said %d bytes without %q and closed", len(heard), r.spec.Expect.Text)
		default:
			f := r.broke(ctx, err, ClassProtocol, "no answer", fmt.Sprintf("waiting for %q", r.spec.Expect.Text))
			f.reason += fmt.Sprintf(" (%d bytes came)", len(heard))
			return heard, f
		}
	}
}
