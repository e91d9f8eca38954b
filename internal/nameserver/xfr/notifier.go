package xfr

import "time"

// Times of NOTIFY [RFC 1996 3.6 leaves them to us].
const (
	NotifyTries = 5
	notifyFirst = 100 * time.Millisecond // changes that come together are told once
	notifyAgain = 2 * time.Second        // before the second try; doubled for each one more
)

// Notifier is how one secondary is told of serials: a state machine. Changed, then Due says when a message is to go out,
// Sent that it did, Acknowledged that the secondary has understood.
type Notifier struct {
	Told    uint32    // the serial it has acknowledged
	Knows   bool      // it has acknowledged one
	At      time.Time // of that
	Failing string    // why the last try had no answer, "" after one
	Given   bool      // all tries for the last change were in vain

	serial uint32
	tries  int       // made for serial
	next   time.Time // of the next one; zero: none is due
}

// Changed: there is a new serial. What was under way for an older one ends.
func (n *Notifier) Changed(serial uint32, now time.Time) {
	n.serial, n.tries, n.next, n.Given = serial, 0, now.Add(notifyFirst), false
}

// Again tells the current serial at once, whatever was acknowledged.
func (n *Notifier) Again(serial uint32, now time.Time) {
	n.Changed(serial, now)
	n.next = now
}

// Due says when the next message is to be sent; ok is false when none is.
func (n *Notifier) Due() (at time.Time, ok bool) { return n.next, !n.next.IsZero() }

// Sent: one message has gone out. After the last try there is one more look, for what came of it.
func (n *Notifier) Sent(now time.Time) {
	if n.tries++; n.Last() {
		n.next = now.Add(notifyAgain) // longer than an answer is waited for
		return
	}
	n.next = now.Add(notifyAgain << (n.tries - 1))
}

// Last reports that all tries are made: when Due comes, GiveUp.
func (n *Notifier) Last() bool { return n.tries >= NotifyTries }

// GiveUp ends the tries for this serial. The secondary finds it by its refresh timer.
func (n *Notifier) GiveUp() { n.next, n.Given = time.Time{}, true }

// Acknowledged: the secondary has answered to a serial. An answer to an older one does not end the tries.
func (n *Notifier) Acknowledged(serial uint32, now time.Time) {
	if !n.Knows || serial == n.serial || Newer(serial, n.Told) {
		n.Told, n.Knows, n.At, n.Failing = serial, true, now, ""
	}
	if serial == n.serial {
		n.next, n.Given = time.Time{}, false
	}
}

// Failed notes why a try has failed; the next one stays due.
func (n *Notifier) Failed(why string) { n.Failing = why }
