// Package cookie makes and checks DNS server cookies [RFC 7873, RFC 9018]: those every server of an anycast set can
// make and check that has the same secret. It knows bytes and nothing else: no clock (the time is an argument), no
// socket, no message. Checking and making allocate nothing and take no lock.
//
//	Secrets -> Jar.Store
//	client cookie, server cookie or none, address, time -> Jar.Answer -> contents of the COOKIE option to return, State
//
// A server cookie is never one the client sent unless it was proved to be ours: it is computed.
//
//	version 1 | 3 reserved bytes | seconds since 1970 (32 bits) | SipHash-2-4(client cookie | version .. seconds | address)
package cookie
