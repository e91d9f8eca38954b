// Package seal closes small secrets with a key that is not in the store, so that who reads the store, a backup of it or
// a copy of the data directory reads no secret. It knows keys, boxes and the file that keys are kept in; it never
// talks to a store, never logs and never shows a key: what can be shown of one is its id.
//
//	key file (one key a line) --Read--> Ring --Seal(name, secret)--> Box --store--> Open(name, box)--> secret
//
// A box is AES-256-GCM with a random nonce. The id of its key and the name of its record are bound to it: a box that is
// moved to another name does not open.
package seal
