package lab

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
)

// Credential is one user name and password (or client id and client secret).
type Credential struct {
	User     string
	Password string
}

// ErrCredential is wrapped by every error of ParseCredential.
var ErrCredential = errors.New("bad credential")

// ParseCredential reads "user:password". The text is cut at the first colon, so that a password may hold colons;
// user names may hold `!`, `|` and `$`, as client ids of service keys do. Errors never repeat the password.
func ParseCredential(text string) (Credential, error) {
	user, password, found := strings.Cut(text, ":")
	switch {
	case text == "":
		return Credential{}, fmt.Errorf("%w: it is empty; want user:password", ErrCredential)
	case !found:
		return Credential{}, fmt.Errorf("%w: no colon in %q; want user:password. Quote it with '...': "+
			"client ids hold !, | and $, which a shell changes", ErrCredential, shorten(text))
	case user == "":
		return Credential{}, fmt.Errorf("%w: nothing before the colon; want user:password", ErrCredential)
	case password == "":
		return Credential{}, fmt.Errorf("%w: nothing after the colon for user %q; want user:password. Quote it with '...': "+
			"a shell replaces $name by nothing", ErrCredential, user)
	case strings.ContainsFunc(text, isControl):
		return Credential{}, fmt.Errorf("%w: control character in the credential of user %q; Basic authentication "+
			"allows none (RFC 7617)", ErrCredential, user)
	}
	return Credential{User: user, Password: password}, nil
}

// String shows the user and hides the password.
func (c Credential) String() string { return c.User + ":***" }

// GoString hides the password from %#v too.
func (c Credential) GoString() string { return "lab.Credential{" + c.String() + "}" }

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// shorten keeps a text without a colon from showing a whole secret in an error.
func shorten(text string) string {
	const shown = 4
	if len(text) <= shown {
		return text
	}
	return text[:shown] + "..."
}

// holds reports whether c is one of list. It compares digests, so that the time taken says nothing of the content.
func holds(list []Credential, c Credential) bool {
	found := 0
	want := c.digest()
	for _, have := range list {
		got := have.digest()
		found |= subtle.ConstantTimeCompare(want[:], got[:])
	}
	return found == 1
}

func (c Credential) digest() [sha256.Size]byte {
	return sha256.Sum256([]byte(c.User + "\x00" + c.Password))
}
