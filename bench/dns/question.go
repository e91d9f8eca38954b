package main

import (
	"errors"
	"net"
	"strings"
	"time"
)

const (
	typeA   = 1
	typeTXT = 16
)

// question writes a query with ID 0 and without EDNS.
func question(name string, qtype byte) []byte {
	q := []byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name, ".") {
		q = append(append(q, byte(len(label))), label...) //nolint:gosec // our own short labels
	}
	return append(q, 0, 0, qtype, 0, 1)
}

// ask sends one question and returns the whole answer, which must be NOERROR with a record.
func ask(port int, name string, qtype byte) ([]byte, error) {
	c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(500 * time.Millisecond))
	if _, err := c.Write(question(name, qtype)); err != nil {
		return nil, err
	}
	buf := make([]byte, 1500)
	n, err := c.Read(buf)
	switch {
	case err != nil:
		return nil, err
	case n < 12 || buf[3]&15 != 0 || buf[7] == 0:
		return nil, errors.New(name + ": no answer with a record")
	}
	return buf[:n], nil
}
