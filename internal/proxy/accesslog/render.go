package accesslog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"
)

// line appends r as one line of JSON, in the order of proxy.md. Fields that say nothing are left out, except those that
// every request has.
func (l *Log) line(b []byte, r *Record) []byte {
	b = append(b, `{"time":"`...)
	b = l.clock.append(b, r.Time)
	b = append(b, '"')
	b = optional(b, `,"node":"`, l.o.Node)
	b = optional(b, `,"listener":"`, r.Listener)
	b = positive(b, `,"conn":`, r.Conn)
	b = positive(b, `,"req":`, r.Request)
	b = append(b, `,"client":"`...)
	if r.Client.IsValid() {
		b = r.Client.WithZone("").AppendTo(b) // a zone in a forwarding field may be any text
	}
	b = always(b, `","client_source":"`, r.ClientSource)
	b = optional(b, `,"tls":"`, r.TLS)
	b = optional(b, `,"sni":"`, r.SNI)
	b = always(b, `,"proto":"`, r.Proto)
	b = always(b, `,"method":"`, r.Method)
	b = always(b, `,"host":"`, r.Host)
	b = l.target(b, r.Target)
	b = number(b, `,"status":`, int64(r.Status))
	b = always(b, `,"reason":"`, r.Reason)
	b = optional(b, `,"rule":"`, r.Rule)
	b = upstream(b, r)
	b = number(b, `,"bytes_in":`, r.BytesIn)
	b = number(b, `,"bytes_out":`, r.BytesOut)
	b = millis(b, `,"t_head":`, r.Head)
	b = millis(b, `,"t_connect":`, r.Connect)
	if r.Handshake > 0 {
		b = millis(b, `,"t_tls":`, r.Handshake)
	}
	b = millis(b, `,"t_first_byte":`, r.FirstByte)
	b = millis(b, `,"t_total":`, r.Total)
	b = positive(b, `,"origin_status":`, uint64(max(r.OriginStatus, 0)))
	b = optional(b, `,"upgrade":"`, r.Upgrade)
	b = positive(b, `,"tunnel_in":`, uint64(max(r.TunnelIn, 0)))
	b = optional(b, `,"trace_id":"`, TraceID(r.TraceParent))
	b = optional(b, `,"user_agent":"`, r.UserAgent)
	return append(b, '}', '\n')
}

// upstream is where the request went and why.
func upstream(b []byte, r *Record) []byte {
	b = optional(b, `,"profile":"`, r.Profile)
	b = optional(b, `,"group":"`, r.Group)
	b = optional(b, `,"endpoint":"`, r.Endpoint)
	b = positive(b, `,"epoch":`, r.Epoch)
	b = optional(b, `,"origin_addr":"`, r.OriginAddr)
	b = append(b, `,"reused":`...)
	b = strconv.AppendBool(b, r.Reused)
	b = number(b, `,"attempts":`, int64(r.Attempts))
	for i := range r.Trail {
		s := &r.Trail[i]
		if i == 0 {
			b = append(b, `,"trail":[`...)
		} else {
			b = append(b, ',')
		}
		b = always(b, `{"endpoint":"`, s.Endpoint)
		b = number(b, `,"epoch":`, int64(s.Epoch)) //nolint:gosec // epochs count from 1
		b = always(b, `,"phase":"`, s.Phase)
		b = always(b, `,"error":"`, s.Error)
		b = append(millis(b, `,"ms":`, s.Took), '}')
	}
	if len(r.Trail) > 0 {
		b = append(b, ']')
	}
	b = optional(b, `,"replay":"`, r.Replay)
	b = millis(b, `,"held_ms":`, r.Held)
	b = optional(b, `,"key":"`, r.Key)
	b = optional(b, `,"key_hash":"`, r.KeyHash)
	if r.SessionNew {
		b = append(b, `,"session_new":true`...)
	}
	return b
}

// target cuts a request target into path and query, and user info out of an absolute one (RFC 9110 4.2.4).
func (l *Log) target(b, target []byte) []byte {
	path, query, has := bytes.Cut(target, []byte{'?'})
	b = append(b, `,"path":"`...)
	from, to := userInfo(path)
	b = text(text(b, path[:from], maxTarget), path[to:], maxTarget)
	b = append(b, '"')
	switch {
	case !has:
	case l.o.PlainQuery:
		b = append(text(append(b, `,"query":"`...), query, maxTarget), '"')
	default:
		sum := sha256.Sum256(query)
		b = append(hex.AppendEncode(append(b, `,"query_hash":"`...), sum[:8]), '"')
	}
	return b
}

// userInfo is the part of a target that is user info with its @; empty at the beginning when there is none.
func userInfo(target []byte) (from, to int) {
	if len(target) == 0 || target[0] == '/' {
		return 0, 0
	}
	if i := bytes.Index(target, []byte("://")); i >= 0 {
		from = i + 3
	}
	end := len(target)
	if i := bytes.IndexByte(target[from:], '/'); i >= 0 {
		end = from + i
	}
	if i := bytes.LastIndexByte(target[from:end], '@'); i >= 0 {
		return from, from + i + 1
	}
	return 0, 0
}

// always writes a text after its key, which ends with the opening quote.
func always[T string | []byte](b []byte, key string, s T) []byte {
	return append(text(append(b, key...), s, maxText), '"')
}

func optional[T string | []byte](b []byte, key string, s T) []byte {
	if len(s) == 0 {
		return b
	}
	return always(b, key, s)
}

func number(b []byte, key string, n int64) []byte { return strconv.AppendInt(append(b, key...), n, 10) }

func positive(b []byte, key string, n uint64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendUint(append(b, key...), n, 10)
}

// millis writes milliseconds with as many as three decimals.
func millis(b []byte, key string, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	b = strconv.AppendInt(append(b, key...), us/1000, 10)
	rest := us % 1000
	if rest == 0 {
		return b
	}
	b = append(b, '.', byte('0'+rest/100))
	if rest %= 100; rest > 0 {
		b = append(b, byte('0'+rest/10))
		if rest %= 10; rest > 0 {
			b = append(b, byte('0'+rest))
		}
	}
	return b
}

// plain are the bytes that stand for themselves between JSON quotes: printable ASCII but " and \.
var plain = func() (p [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		p[c] = c != '"' && c != '\\'
	}
	return p
}()

// text appends at most limit bytes of s, and escapes what JSON, a terminal or a tool that cuts lines would take for
// something else. What is not UTF-8 becomes U+FFFD, as encoding/json has it.
func text[T string | []byte](b []byte, s T, limit int) []byte {
	cut := len(s) > limit
	if cut {
		s = s[:limit]
	}
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		b = append(b, s[done:i]...)
		size := 1
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < utf8.RuneSelf:
			b = escape(b, rune(c))
		default:
			var r rune
			r, size = utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			b = escape(b, r)
		}
		i += size
		done = i
	}
	b = append(b, s[done:]...)
	if cut {
		b = escape(b, '…')
	}
	return b
}

func escape(b []byte, r rune) []byte {
	if r > 0xffff {
		b = escape(b, 0xd800+(r-0x10000)>>10)
		r = 0xdc00 + (r-0x10000)&0x3ff
	}
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
