package api

import "time"

// ZoneStatus is GET /api/v1/zones/{name}/status: a zone as this node serves it. No private key is in any answer but
// that of an export.
type ZoneStatus struct {
	Name     string       `json:"name"`
	Kind     string       `json:"kind" doc:"primary: from a document; secondary: by transfer"`
	State    string       `json:"state,omitempty" doc:"of a secondary zone: current, failing, expired or missing (questions get SERVFAIL)"`
	Serial   uint32       `json:"serial" doc:"0 while there are no records"`
	Names    int          `json:"names" doc:"of ordinary records, empty ones between them too"`
	Profiles []string     `json:"profiles" doc:"whose host names lie in the zone"`
	Nodes    []string     `json:"nodes" doc:"live nodes, which all serve it"`
	Signing  *ZoneSigning `json:"signing,omitempty" doc:"absent: this node does not sign the zone"`
	Foreign  bool         `json:"signedByPrimary,omitempty" doc:"signatures come by transfer"`

	Transfers *ZoneTransfers `json:"transfers,omitempty" doc:"absent: nobody may fetch the zone"`
}

// ZoneSigning is how this node's signatures of a zone stand.
type ZoneSigning struct {
	Stage   string     `json:"stage,omitempty" doc:"of the keys; empty: there are none yet"`
	Keys    []ZoneKey  `json:"keys"`
	Sets    int        `json:"sets" doc:"sets of records that questions could get"`
	Signed  int        `json:"signed" doc:"of them, with a signature that may be sent"`
	Waiting int        `json:"waiting" doc:"of them, to be signed: new, due, or signed with earlier keys"`
	Failing int        `json:"failing"`
	Oldest  *time.Time `json:"oldestExpiry,omitempty"`
	Newest  *time.Time `json:"newestExpiry,omitempty"`
	Trouble string     `json:"trouble,omitempty"`
}

// ZoneKeys is GET /api/v1/zones/{name}/keys: the DNSSEC keys of a zone and how far their change is.
type ZoneKeys struct {
	Message string         `json:"message,omitempty" doc:"what was done"`
	Zone    string         `json:"zone"`
	Wanted  bool           `json:"wanted" doc:"dnssec.enabled"`
	Stage   string         `json:"stage,omitempty" doc:"begin, steady, or of a roll: ahead, publish, change, retire, withdraw; empty: there are no keys"`
	Text    string         `json:"text,omitempty" doc:"what the stage is about"`
	Since   *time.Time     `json:"since,omitempty"`
	Step    uint64         `json:"step,omitempty" doc:"grows whenever nodes have to do something else"`
	Roll    string         `json:"roll,omitempty" doc:"plain, emergency or algorithm"`
	Why     string         `json:"why,omitempty" doc:"what began the roll"`
	Next    *ZoneKeysWait  `json:"next,omitempty" doc:"what the stage waits for; the leader knows it"`
	Leaving *time.Time     `json:"leaving,omitempty" doc:"since when signing is switched off; it ends when no DS is left"`
	CDS     string         `json:"cds,omitempty" doc:"auto, publish, delete or off"`
	Keys    []ZoneKey      `json:"keys"`
	Nodes   []ZoneKeysNode `json:"nodes"`
	Parent  ZoneParent     `json:"parent"`
	Trouble string         `json:"trouble,omitempty" doc:"what keeps this node from the keys, or the zone from being trusted, and the remedy"`
}

// ZoneKeysWait is what comes next.
type ZoneKeysWait struct {
	For   string     `json:"for"`
	Until *time.Time `json:"until,omitempty" doc:"absent: not a matter of time"`
}

// ZoneKey is one key, as everybody may see it.
type ZoneKey struct {
	Tag       uint16    `json:"tag"`
	Algorithm string    `json:"algorithm"`
	Number    uint8     `json:"number" doc:"of the algorithm"`
	Role      string    `json:"role" doc:"csk, ksk or zsk"`
	State     string    `json:"state" doc:"ahead, published, active, retired or withdrawn"`
	Since     time.Time `json:"since"`
	Made      time.Time `json:"made"`
	New       bool      `json:"new,omitempty" doc:"a roll brings it"`
	Parent    bool      `json:"parent,omitempty" doc:"a server of the parent has a DS of it"`
	Silent    bool      `json:"silent,omitempty" doc:"no server of the parent answers: whether it has a DS is what was seen last"`
}

// ZoneKeysNode is a live node.
type ZoneKeysNode struct {
	Name         string `json:"name"`
	Acknowledged bool   `json:"acknowledged" doc:"all it answers is signed with the keys as shown here"`
}

// ZoneParent is what the servers of the parent zone say.
type ZoneParent struct {
	Since   *time.Time `json:"since,omitempty" doc:"when they began to say so; absent: none was ever heard"`
	Agree   bool       `json:"agree" doc:"every server was asked with success, and all say the same"`
	Servers int        `json:"servers"`
	Heard   int        `json:"heard" doc:"of them, those that answered; 0: what is shown is what was heard before"`
	Silent  *time.Time `json:"silent,omitempty" doc:"since when none answers"`
	DS      []string   `json:"ds"`
	TTL     int        `json:"ttl" doc:"of the DS set, in seconds"`
	Trouble string     `json:"trouble,omitempty"`
	Word    bool       `json:"word,omitempty" doc:"an operator said that the DS is as it should be"`
}

// ZoneDS is GET /api/v1/zones/{name}/ds: what the parent, or its registrar, has to be given.
type ZoneDS struct {
	Zone    string      `json:"zone"`
	Ready   bool        `json:"ready" doc:"the DS may be given to the parent; else some resolvers would find the zone bogus"`
	ReadyAt *time.Time  `json:"readyAt,omitempty" doc:"absent while nodes have to acknowledge"`
	Off     bool        `json:"off,omitempty" doc:"signing is switched off: the DS is to be removed from the parent"`
	TTL     int         `json:"ttl" doc:"of the zone's key sets, in seconds"`
	Keys    []ZoneDSKey `json:"keys"`
}

// ZoneDSKey is a key that the parent has to name.
type ZoneDSKey struct {
	Tag       uint16 `json:"tag"`
	Algorithm string `json:"algorithm"`
	Number    uint8  `json:"number"`
	Flags     uint16 `json:"flags"`
	DigestNo  uint8  `json:"digestType" doc:"2: SHA-256; 4: SHA-384"`
	Digest    string `json:"digest"`
	Public    string `json:"publicKey" doc:"base64"`
	DS        string `json:"ds" doc:"RDATA of DS and CDS"`
	DNSKEY    string `json:"dnskey" doc:"RDATA of DNSKEY and CDNSKEY"`
}

// KeyOrder is an order about the keys of a zone; exactly one of its parts is set.
type KeyOrder struct {
	Roll   *KeyRoll
	SeenDS *time.Duration // TTL of the DS set; 0: as it was seen
	CDS    string
	Import []KeyFile
}

// KeyRoll is an order for new keys.
type KeyRoll struct {
	Role      string `json:"role,omitempty" enum:"csk,ksk,zsk" doc:"absent: the csk or ksk"`
	Algorithm string `json:"algorithm,omitempty" enum:"ecdsa-p256,ed25519" doc:"another one than now replaces all keys"`
	Keys      string `json:"keys,omitempty" enum:"csk,ksk-zsk" doc:"another kind than now replaces all keys"`
	Emergency bool   `json:"emergency,omitempty" doc:"sign with both at once, and take over from a roll whose new keys nobody relies on yet"`
	Note      string `json:"note,omitempty" maxLength:"1000" doc:"why; kept in the journal"`
}

// KeyFile is a pair of files in BIND's format. Private is a secret.
type KeyFile struct {
	Name    string `json:"name" doc:"without .key and .private"`
	Public  string `json:"key" maxLength:"4096"`
	Private string `json:"private" maxLength:"4096"`
}

// KeyExport is the answer to an export: the private keys of a zone.
type KeyExport struct {
	Zone  string    `json:"zone"`
	Files []KeyFile `json:"files"`
}
