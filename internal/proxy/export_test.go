package proxy

import "jurymast/internal/proxy/inbound"

// Hurry holds clients to other paces, of a body and of reading an answer. It is called before Start.
func (o *Options) Hurry(body, answer inbound.Pace) { o.hurry = &[2]inbound.Pace{body, answer} }
