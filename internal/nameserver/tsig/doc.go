// Package tsig signs and verifies DNS messages with shared keys [RFC 8945], on their bytes: what was verified is what was
// received, and signing changes nothing of a message but its end. It reads no file and no clock, and never shows a secret.
package tsig
