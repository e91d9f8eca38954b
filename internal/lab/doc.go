// Package lab holds the stand-ins a user can run beside Jurymast: things that look like the systems behind it
// and that break on command, so that a failover can be seen, measured and rehearsed on one machine.
//
// A Tenant imitates the runtime of one regional SAP Cloud Integration tenant: the answers of its HTTP senders
// in their order of precedence, cross-site request forgery tokens, the token endpoint, the operations API, and
// an account of the messages that would be billed.
//
//	request -> /lab/*                          never touched by a fault
//	        -> /oauth/token, /api/v1/*         reset, hang, slow, overload
//	        -> anything else (the runtime)     the same, and unmap, undeploy, error
//	connection -> refuse, tls                  below the requests; mended through the control listener
//
// What it never does: it executes no integration content, it stores nothing on disk, it opens no connection of its
// own, and it is no place for real credentials. Where no public source says how the original behaves, the
// behaviour is an option (see TenantOptions).
package lab
