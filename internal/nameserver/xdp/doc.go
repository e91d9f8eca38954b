// Package xdp answers hot questions before the kernel makes a socket buffer of them: a program in the driver of a
// network interface finds the question in a table and sends the frame back as its answer. Everything that is not
// plainly one of those questions goes on to the sockets untouched, so the nameserver stays the only definition of what
// is answered; the table is a cache that its owner fills and empties. The program decides nothing, keeps nothing of a
// client and never answers "no".
//
//	frame -> IPv4/IPv6, UDP port 53, an address of ours -> header, one question, nothing or a plain OPT behind it
//	      -> keys[name, type, class] = cell -> cells[cell] = record -> records[record] -> answer, sent back
//	      \-> anything else, or nothing found                                             -> to the sockets
//
// What goes to the sockets although it asks for something known: other ports and addresses, VLAN tags, IP options,
// extension headers, fragments, names over 68 bytes or 8 labels, and every OPT with an option in it (cookies, client
// subnet, NSID).
//
// What it passes by, because it comes before it: packet filters, routing (the answer goes back to the station that
// handed over the question) and the check of the question's checksums; the card has checked the frame.
//
// A table entry changes with one store of eight bytes: a frame gets the old answer or the new one, never parts of
// both. Memory a frame may still be looking at is not written before all processors have left the program; see Table.
//
// Linux only, on little-endian machines, with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. Elsewhere the package is empty.
package xdp
