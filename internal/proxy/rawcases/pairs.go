package rawcases

// Pairs are requests with two field lines that say where the body ends, each by itself right or wrong, in both orders. None
// can be accepted; what servers make of them differs most. The rule is left open: the first one to notice names it.
func Pairs() []Case {
	lines := []string{
		length(empty + Hidden)[:len(length(empty+Hidden))-2], "Content-Length: 5", "Content-Length: 0", "Content-Length: +5", "Content-Length: 5, 5", "Content-Length:", "Content-Length: 0x5", "Content-Length: 05", "Content-Length: 5\x00",
		"Content_Length: 5", "Content-Length : 5", "Content-Length\t: 0", "Content-Length:\r\n 5", "Content-Length 5", "\xa0Content-Length: 5",
		"Transfer-Encoding: chunked", "Transfer-Encoding: chunked,", "Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: xchunked",
		"Transfer-Encoding: \"chunked\"", "Transfer-Encoding: \vchunked", "Transfer-Encoding: chunked\x00", "Transfer-Encoding:\r\n chunked", "Transfer-Encoding : chunked", "Transfer_Encoding: chunked", "Transfer-Encoding:", "Transfer-Encoding: chunked;x=y",
		" Transfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked", "Connection: Transfer-Encoding", "Connection: Content-Length",
	}
	l := &list{class: "pair"}
	for i, one := range lines {
		for j, other := range lines {
			if i != j {
				l.add("", Post+one+"\r\n"+other+"\r\n\r\n"+empty+Hidden)
			}
		}
	}
	return l.cases
}
