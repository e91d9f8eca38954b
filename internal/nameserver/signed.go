package nameserver

import (
	"time"

	"jurymast/internal/nameserver/tsig"
	"jurymast/internal/nameserver/wire"
)

// notAuthentic is what a signed question comes to whose signature does not hold: it gets NOTAUTH, whatever it asks
// [RFC 8945 5.2].
const notAuthentic wire.Outcome = 0xFF

// Kinds of signed questions, each counted for its own.
const (
	tsigValid  = iota
	tsigBadSig // wrong signature
	tsigBadKey // unknown key, or another algorithm
	tsigBadTime
	tsigBadTrunc
	tsigFormat // a record that cannot be read
	tsigKinds
)

var tsigNames = [tsigKinds]string{"valid", "badsig", "badkey", "badtime", "badtrunc", "format"}

// verify judges a signed question. Whatever it is answered with then, the answer is signed too, as far as the key is
// known. Who answers counts the verdict: a question that waits for a signature is judged twice.
func (a *responder) verify(pkt []byte, outcome wire.Outcome) wire.Outcome {
	session, err := a.keys().Verify(pkt, a.q.TSIG, time.Now())
	if err != nil {
		a.verified = tsigFormat
		return wire.Malformed
	}
	a.session = session
	kind := tsigValid
	switch session.Err {
	case tsig.NoError:
	case tsig.BadSig:
		kind = tsigBadSig
	case tsig.BadKey:
		kind = tsigBadKey
	case tsig.BadTime:
		kind = tsigBadTime
	case tsig.BadTrunc:
		kind = tsigBadTrunc
	}
	a.verified = kind
	if kind != tsigValid {
		return notAuthentic
	}
	return outcome
}

func (a *responder) keys() *tsig.Ring {
	if a.ring == nil {
		return nil
	}
	return a.ring.Load()
}

// UseTSIG makes these the keys that questions may be signed with. Transfers that have begun go on with the old ones.
func (s *Server) UseTSIG(r *tsig.Ring) { s.ring.Store(r) }

// TSIG are the keys in use.
func (s *Server) TSIG() *tsig.Ring { return s.ring.Load() }
