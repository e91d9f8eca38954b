package nameserver

import (
	"encoding/binary"
	"fmt"
	"time"

	"jurymast/internal/nameserver/zone"
)

// expires warns of a zone whose secondaries would go on with signatures that have expired.
func (c *config) expires(z *zone.Zone) {
	if z.Transfer == nil || !z.DNSSEC.Enabled {
		return
	}
	if _, _, expire := timers(z); expire > zone.SignedExpire*time.Second {
		c.warnings = append(c.warnings, fmt.Sprintf("zone %s: EXPIRE of the SOA is %v, but the signatures that secondaries get hold for less than 8 days, so one that hears nothing "+
			"from here would go on with expired ones; write %d or less", z.Name, expire, zone.SignedExpire))
	}
}

// timers of a zone's SOA.
func timers(z *zone.Zone) (refresh, retry, expire time.Duration) {
	d := z.SOA.Data[0]
	d = d[len(d)-soaNumbers:]
	number := func(i int) time.Duration { return time.Duration(binary.BigEndian.Uint32(d[4*i:])) * time.Second }
	return number(1), number(2), number(3)
}

// Lag is how long a secondary that misses a NOTIFY is behind at most, as long as it reaches us: the zone's own timers say so.
func Lag(z *zone.Zone) time.Duration {
	refresh, retry, _ := timers(z)
	return refresh + retry
}
