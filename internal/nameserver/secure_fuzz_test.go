package nameserver

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"testing"
	"testing/iotest"

	"jurymast/internal/nameserver/wire"
)

// FuzzDoH: a target is an error, or brings exactly the message that is encoded in it.
func FuzzDoH(f *testing.F) {
	f.Add("GET", "/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB", "")
	f.Add("POST", "/dns-query", "application/dns-message")
	f.Add("GET", "/dns-query?a=b&dns=AAAA==&dns=", "text/html")
	f.Fuzz(func(t *testing.T, method, target, media string) {
		g := &asking{}
		r := dohRequest{method: method, target: target, media: media}
		body, status := r.read(g)
		if (status != 0) == body && status != 0 || status != 0 && status < 400 {
			t.Errorf("body %v, status %d", body, status)
		}
		if status != 0 || body {
			return
		}
		if n := g.question.Len(); n < wire.HeaderLen || n > streamSize {
			t.Errorf("a question of %d bytes", n)
		}
		if text := base64.RawURLEncoding.EncodeToString(g.question.Bytes()); len(text) > len(target) {
			t.Errorf("%q is longer than %q", text, target)
		}
	})
}

// FuzzDoQ: a stream is one message behind its length with id 0, or a mistake; however it is cut on the way.
func FuzzDoQ(f *testing.F) {
	f.Add([]byte("\x00\x0c\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x0d\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		good := len(sent) >= 2+wire.HeaderLen && int(binary.BigEndian.Uint16(sent)) == len(sent)-2 && sent[2] == 0 && sent[3] == 0
		for name, g := range map[string]*asking{"whole": {}, "cut": {}} {
			in := bytes.NewReader(sent)
			err := readDoQ(in, g)
			if name == "cut" {
				err = readDoQ(iotest.OneByteReader(bytes.NewReader(sent)), &asking{})
			}
			if (err == nil) != good {
				t.Errorf("%s: %x: %v", name, sent, err)
			}
			if good && name == "whole" && !bytes.Equal(g.question.Bytes(), sent[2:]) {
				t.Errorf("%x became %x", sent, g.question.Bytes())
			}
		}
	})
}
