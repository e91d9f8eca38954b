package signing

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Text forms of keys for other programs.

// DNSKEYText is the RDATA of the key's DNSKEY record as zone text writes it; CDNSKEY is the same [RFC 7344 3.2].
func (k *Key) DNSKEYText() string {
	return fmt.Sprintf("%d 3 %d %s", k.Role.Flags(), k.Algorithm, base64.StdEncoding.EncodeToString(k.Public))
}

// DeleteForms of CDS and CDNSKEY [RFC 8078 section 4].
const (
	DeleteCDS     = "0 0 0 00"
	DeleteCDNSKEY = "0 3 0 AA=="
)

// exportName names algorithms as key files do.
var exportName = map[Algorithm]string{ECDSAP256: "ECDSAP256SHA256", Ed25519: "ED25519"}

// ExportName is the name that programs give the two files of a key: this and .key or .private.
func (k *Key) ExportName(zone string) string {
	return fmt.Sprintf("K%s.+%03d+%05d", zone, k.Algorithm, k.Tag)
}

// ExportPublic is the .key file that goes with Export.
func (k *Key) ExportPublic(zone string) string {
	kind := map[Role]string{CSK: "combined key", KSK: "key-signing key", ZSK: "zone-signing key"}[k.Role]
	return fmt.Sprintf("; %s %d, %s\n%s. 3600 IN DNSKEY %s\n", kind, k.Tag, k.State, zone, k.DNSKEYText())
}

// Export is the private key in BIND's format, version 1.3. It is a secret.
func (k *Key) Export() string {
	raw := k.Private.Bytes()
	stamp := k.Born.UTC().Format("20060102150405")
	return fmt.Sprintf("Private-key-format: v1.3\nAlgorithm: %d (%s)\nPrivateKey: %s\nCreated: %s\nPublish: %s\nActivate: %s\n",
		k.Algorithm, exportName[k.Algorithm], base64.StdEncoding.EncodeToString(raw[:]), stamp, stamp, stamp)
}

// ImportKey reads a private key in BIND's format with the record of its public part, which says the role: flags 256 are a
// zsk, 257 a ksk, or the csk when it is alone. Errors never repeat what was read.
func ImportKey(private, public string, alone bool) (Key, error) {
	var a Algorithm
	var secret []byte
	for line := range strings.Lines(private) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "Algorithm":
			number, _, _ := strings.Cut(value, " ")
			n, _ := strconv.ParseUint(number, 10, 8)
			a = Algorithm(n)
		case "PrivateKey":
			secret, _ = base64.StdEncoding.DecodeString(value)
		}
	}
	if a != ECDSAP256 && a != Ed25519 {
		return Key{}, fmt.Errorf("%w: its algorithm is %d; allowed: 13 (ECDSAP256SHA256) and 15 (ED25519)", ErrKey, a)
	}
	if len(secret) != 32 {
		return Key{}, fmt.Errorf("%w: PrivateKey is missing or is not 32 bytes in base64", ErrKey)
	}
	flags, record := publicOf(public)
	role := KSK
	switch {
	case flags == 256:
		role = ZSK
	case flags != 257:
		return Key{}, fmt.Errorf("%w: the .key file has no DNSKEY record with flags 256 or 257", ErrKey)
	case alone:
		role = CSK
	}
	k, err := MakeKey(a, role, NewPrivate([32]byte(secret)))
	if err == nil && k.DNSKEYText() != record {
		return Key{}, fmt.Errorf("%w: the .key file is of another key", ErrKey)
	}
	return k, err
}

// publicOf finds the DNSKEY record in a .key file: flags, and its RDATA in the form of DNSKEYText.
func publicOf(text string) (flags int, rdata string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, ";")
		words := strings.Fields(line)
		for i, w := range words {
			if strings.EqualFold(w, "DNSKEY") && len(words) > i+4 {
				flags, _ = strconv.Atoi(words[i+1])
				return flags, strings.Join(words[i+1:i+4], " ") + " " + strings.Join(words[i+4:], "")
			}
		}
	}
	return 0, ""
}
