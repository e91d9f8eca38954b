// Package tunnels moves bytes between a client and an origin after an upgrade, both ways with half-close and
// back-pressure, until both ends have closed, nothing moved for too long, or somebody cuts. It never reads what is
// inside: of a websocket it follows the frame headers towards the client (RFC 6455 section 5.2), so that a cut can say
// goodbye at a frame boundary, and nothing else.
//
//	relaying -> both ends closed                         nil
//	relaying -> nothing moved for Options.Idle           ErrIdle
//	relaying -> one connection broke                     *BrokenError
//	relaying -> Close                                    ErrClosed
//	relaying -> Cut -> the frame under way ends -> close frame, end -> the client's end or patience -> ErrCut
//	            CutNow: the same, but a frame under way is lost
//	                \-> no websocket, frames lost, or patience over -> plain close                  -> ErrCut
//
// A silent direction holds neither a buffer nor a pipe; a busy one holds one buffer of 16 KiB or 64 KiB. Bulk between two plain
// connections is spliced and does not come here at all.
package tunnels
