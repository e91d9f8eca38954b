package xdp

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// find reads the question, sums it as it was asked, folds it and looks for its record, which ends up in R8.
func (c *code) find() {
	c.add(asm.Mov.Imm(asm.R0, 0).WithSymbol(c.label("load")))
	for i := int16(0); i < keySize; i += 8 {
		c.add(asm.StoreMem(asm.RFP, stQuestion+i, asm.R0, asm.DWord))
	}
	c.add(
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, int32(c.f.question)),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, stQuestion),
		asm.Mov.Reg(asm.R4, asm.R9),
		asm.Sub.Imm(asm.R4, int32(c.f.question)),
		asm.JGT.Imm(asm.R4, keySize, "pass"), // cannot be; the verifier wants to see it
		asm.JLT.Imm(asm.R4, 5, "pass"),
		fnLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "pass"),
		asm.Mov.Imm(asm.R1, 0),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, stQuestion),
		asm.Mov.Imm(asm.R4, keySize),
		asm.Mov.Imm(asm.R5, 0),
		asm.FnCsumDiff.Call(),
		asm.LSh.Imm(asm.R0, 32), asm.RSh.Imm(asm.R0, 32),
		asm.StoreMem(asm.RFP, stSum, asm.R0, asm.DWord),
	)
	c.fold()
	c.lookup(c.addresses, stAddr, "pass")
	c.lookup(c.keys, stQuestion, "miss")
	c.add(asm.LoadMem(asm.R1, asm.R0, 0, asm.Word), asm.StoreMem(asm.RFP, stCell, asm.R1, asm.Word))
	c.lookup(c.cells, stCell, "miss")
	c.add(
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.JEq.Imm(asm.R1, 0, "miss"),
		asm.StoreMem(asm.RFP, stCell, asm.R1, asm.Word),
	)
	c.lookup(c.records, stCell, "miss")
	c.add(
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.LoadMem(asm.R1, asm.RFP, stDO, asm.DWord),
		asm.JEq.Imm(asm.R1, 0, c.label("found")),
		asm.LoadMem(asm.R1, asm.R8, recUnsigned, asm.Word),
		asm.JEq.Imm(asm.R1, 0, "miss"),
	)
}

// fold makes lower case of the question, eight bytes at a time, up to the first eight that are zero.
func (c *code) fold() {
	const low, tops = 0x7F7F7F7F7F7F7F7F, -0x7F7F7F7F7F7F7F80 // all bits of a byte but the highest, the highest
	const fromA, aboveZ = 0x3F3F3F3F3F3F3F3F, 0x2525252525252525
	for i := int16(0); i < keySize; i += 8 {
		c.add(
			asm.LoadMem(asm.R1, asm.RFP, stQuestion+i, asm.DWord),
			asm.JEq.Imm(asm.R1, 0, c.label("folded")),
			asm.Mov.Reg(asm.R2, asm.R1),
			asm.LoadImm(asm.R0, low, asm.DWord),
			asm.And.Reg(asm.R2, asm.R0),
			asm.Mov.Reg(asm.R3, asm.R2),
			asm.LoadImm(asm.R0, fromA, asm.DWord),
			asm.Add.Reg(asm.R3, asm.R0), // highest bit: 'A' or above
			asm.LoadImm(asm.R0, aboveZ, asm.DWord),
			asm.Add.Reg(asm.R2, asm.R0), // highest bit: above 'Z'
			asm.Or.Reg(asm.R2, asm.R1),  // or no ASCII
			asm.Xor.Imm(asm.R2, -1),
			asm.And.Reg(asm.R3, asm.R2),
			asm.LoadImm(asm.R0, tops, asm.DWord),
			asm.And.Reg(asm.R3, asm.R0),
			asm.RSh.Imm(asm.R3, 2), // 0x80 -> 0x20
			asm.Or.Reg(asm.R1, asm.R3),
			asm.StoreMem(asm.RFP, stQuestion+i, asm.R1, asm.DWord),
		)
	}
	c.add(asm.Mov.Imm(asm.R0, 0).WithSymbol(c.label("folded")))
}

// lookup leaves a pointer to the value in R0.
func (c *code) lookup(m *ebpf.Map, key int32, none string) {
	c.add(
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, key),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, none),
	)
}

// living goes on only while the owner of the table says that it is alive: who follows nothing any more, because it was
// stopped or hangs, must not be heard. R7 is free until the frame has grown.
func (c *code) living() {
	c.add(asm.StoreImm(asm.RFP, stCell, 0, asm.Word).WithSymbol(c.label("found")))
	c.lookup(c.alive, stCell, "miss")
	c.add(
		asm.LoadMem(asm.R7, asm.R0, 0, asm.DWord),
		fnCoarse.Call(),
		asm.JGT.Reg(asm.R0, asm.R7, "miss"),
	)
}

// grow gives the frame the length of the answer and writes what follows the question. Before it the frame is as it
// came, after it the sockets could no longer read it.
func (c *code) grow() {
	c.add(
		asm.LoadMem(asm.R1, asm.R8, recLen, asm.Half),
		asm.LoadMem(asm.R2, asm.RFP, stOPT, asm.DWord),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.StoreMem(asm.RFP, stLen, asm.R1, asm.DWord),
		asm.LoadMem(asm.R0, asm.R6, offData, asm.Word),
		asm.LoadMem(asm.R2, asm.R6, offEnd, asm.Word),
		asm.Sub.Reg(asm.R2, asm.R0), // with the padding of a short frame
		asm.Add.Reg(asm.R1, asm.R9),
		asm.Sub.Reg(asm.R1, asm.R2),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.FnXdpAdjustTail.Call(),
		asm.JNE.Imm(asm.R0, 0, "room"), // a driver without room behind its frames
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R2, asm.R9),
		asm.Mov.Reg(asm.R3, asm.R8),
		asm.Add.Imm(asm.R3, recordHead),
		asm.LoadMem(asm.R4, asm.RFP, stLen, asm.DWord),
		asm.JGT.Imm(asm.R4, dataSize, "drop"), // cannot be
		asm.JEq.Imm(asm.R4, 0, "drop"),
		fnStoreBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.LoadMem(asm.R7, asm.R6, offData, asm.Word),
		asm.LoadMem(asm.R1, asm.R6, offEnd, asm.Word),
		asm.Mov.Reg(asm.R0, asm.R7),
		asm.Add.Imm(asm.R0, int32(c.f.question)),
		asm.JGT.Reg(asm.R0, asm.R1, "drop"),
	)
}

// reply turns the headers round. R5 collects the UDP checksum: it is made anew and not mended, because frames of a
// virtual interface may bring half of one.
func (c *code) reply() {
	c.tailSum()
	c.add(
		asm.LoadMem(asm.R0, asm.RFP, stSum, asm.DWord),
		asm.Add.Reg(asm.R5, asm.R0),
		asm.LoadMem(asm.R0, asm.R7, c.f.dns+2, asm.Half),
		asm.And.Imm(asm.R0, 0x0001), // RD
		asm.Or.Imm(asm.R0, 0x0084),  // QR, AA
		asm.StoreMem(asm.R7, c.f.dns+2, asm.R0, asm.Half),
		asm.Add.Reg(asm.R5, asm.R0),
		asm.LoadMem(asm.R0, asm.R8, recCount, asm.Half),
		asm.StoreMem(asm.R7, c.f.dns+6, asm.R0, asm.Half),
		asm.Add.Reg(asm.R5, asm.R0),
		asm.LoadMem(asm.R0, asm.R7, c.f.dns, asm.Half), // id
		asm.Add.Reg(asm.R5, asm.R0),
		asm.LoadMem(asm.R0, asm.R7, c.f.dns+10, asm.Half), // additional: the OPT, as in the question
		asm.Add.Reg(asm.R5, asm.R0),
		asm.Add.Imm(asm.R5, 0x0100+0x1100+dnsPort), // one question, UDP, our port
		// Ethernet
		asm.LoadMem(asm.R0, asm.R7, 0, asm.Word), asm.LoadMem(asm.R1, asm.R7, 4, asm.Half),
		asm.LoadMem(asm.R2, asm.R7, 6, asm.Word), asm.LoadMem(asm.R3, asm.R7, 10, asm.Half),
		asm.StoreMem(asm.R7, 0, asm.R2, asm.Word), asm.StoreMem(asm.R7, 4, asm.R3, asm.Half),
		asm.StoreMem(asm.R7, 6, asm.R0, asm.Word), asm.StoreMem(asm.R7, 10, asm.R1, asm.Half),
		// ports
		asm.LoadMem(asm.R0, asm.R7, c.f.udp, asm.Half),
		asm.StoreImm(asm.R7, c.f.udp, dnsPort, asm.Half),
		asm.StoreMem(asm.R7, c.f.udp+2, asm.R0, asm.Half),
		asm.Add.Reg(asm.R5, asm.R0),
		// R4 is the length of the datagram
		asm.LoadMem(asm.R4, asm.RFP, stLen, asm.DWord),
		asm.Add.Reg(asm.R4, asm.R9),
		asm.Sub.Imm(asm.R4, int32(c.f.udp)),
		asm.Mov.Reg(asm.R3, asm.R4),
		asm.HostTo(asm.BE, asm.R3, asm.Half),
		asm.StoreMem(asm.R7, c.f.udp+4, asm.R3, asm.Half),
		asm.Add.Reg(asm.R5, asm.R3),
		asm.Add.Reg(asm.R5, asm.R3), // once more in the pseudo header
	)
	if c.f == v4 {
		c.addresses4()
	} else {
		c.addresses6()
	}
	c.carry(asm.R5)
	c.add(
		asm.Xor.Imm(asm.R5, 0xFFFF),
		asm.JNE.Imm(asm.R5, 0, c.label("sum")),
		asm.Mov.Imm(asm.R5, 0xFFFF), // 0 would mean "none" [RFC 768]
		asm.StoreMem(asm.R7, c.f.udp+6, asm.R5, asm.Half).WithSymbol(c.label("sum")),
	)
}

// tailSum is the sum of what was written behind the question, turned when it starts at an odd offset. On the way the
// DO bit is copied: byte 7 of the OPT, which is the last of the message. R1 is the end of the frame.
func (c *code) tailSum() {
	c.add(
		asm.LoadMem(asm.R4, asm.RFP, stLen, asm.DWord),
		asm.LoadMem(asm.R3, asm.RFP, stOPT, asm.DWord),
		asm.LoadMem(asm.R5, asm.R8, recSum, asm.Half),
		asm.JEq.Imm(asm.R3, 0, c.label("plain")),
		asm.LoadMem(asm.R5, asm.R8, recSumOPT, asm.Half),
		asm.LoadMem(asm.R2, asm.RFP, stDO, asm.DWord),
		asm.JEq.Imm(asm.R2, 0, c.label("plain")),
		asm.Mov.Reg(asm.R0, asm.R4),
		asm.And.Imm(asm.R0, 0xFF),
		asm.Add.Reg(asm.R0, asm.R9),
		asm.Sub.Imm(asm.R0, 4),
		asm.JGT.Imm(asm.R0, 512, "drop"), // cannot be
		asm.JLT.Imm(asm.R0, int32(c.f.question), "drop"),
		asm.Add.Reg(asm.R0, asm.R7),
		asm.Mov.Reg(asm.R2, asm.R0),
		asm.Add.Imm(asm.R2, 1),
		asm.JGT.Reg(asm.R2, asm.R1, "drop"),
		asm.StoreImm(asm.R0, 0, 0x80, asm.Byte),
		asm.Mov.Imm(asm.R2, 0x80),
		asm.And.Imm(asm.R4, 1), // 4 before the end: even if the length is
		asm.JEq.Imm(asm.R4, 0, c.label("even")),
		asm.Mov.Imm(asm.R2, 0x8000),
		asm.Add.Reg(asm.R5, asm.R2).WithSymbol(c.label("even")),
		asm.Mov.Reg(asm.R2, asm.R5),
		asm.RSh.Imm(asm.R2, 16),
		asm.And.Imm(asm.R5, 0xFFFF),
		asm.Add.Reg(asm.R5, asm.R2),
		asm.Mov.Reg(asm.R0, asm.R9).WithSymbol(c.label("plain")),
		asm.And.Imm(asm.R0, 1), // headers have even lengths
		asm.JEq.Imm(asm.R0, 0, c.label("straight")),
		asm.HostTo(asm.BE, asm.R5, asm.Half),
		asm.Mov.Imm(asm.R0, 0).WithSymbol(c.label("straight")),
	)
}

// addresses4 writes the IP header anew, all but its id. R3 is the length of the datagram, big endian, R4 in our order.
func (c *code) addresses4() {
	c.add(
		asm.LoadMem(asm.R1, asm.R7, 26, asm.Word),
		asm.LoadMem(asm.R2, asm.R7, 30, asm.Word),
		asm.StoreMem(asm.R7, 26, asm.R2, asm.Word),
		asm.StoreMem(asm.R7, 30, asm.R1, asm.Word),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.Add.Reg(asm.R5, asm.R1),
		asm.Add.Imm(asm.R4, 20),
		asm.HostTo(asm.BE, asm.R4, asm.Half),
		asm.StoreImm(asm.R7, 14, 0x0045, asm.Half),
		asm.StoreMem(asm.R7, 16, asm.R4, asm.Half),
		asm.StoreImm(asm.R7, 20, 0x0040, asm.Half), // do not fragment
		asm.StoreImm(asm.R7, 22, 0x1140, asm.Half), // 64 hops, UDP
		asm.Add.Reg(asm.R1, asm.R4),
		asm.LoadMem(asm.R0, asm.R7, 18, asm.Half), // id
		asm.Add.Reg(asm.R1, asm.R0),
		asm.Add.Imm(asm.R1, 0x0045+0x0040+0x1140),
	)
	c.carry(asm.R1)
	c.add(asm.Xor.Imm(asm.R1, 0xFFFF), asm.StoreMem(asm.R7, 24, asm.R1, asm.Half))
}

func (c *code) addresses6() {
	c.add(
		asm.StoreImm(asm.R7, 14, 0x60, asm.Word), // no traffic class, no flow
		asm.StoreMem(asm.R7, 18, asm.R3, asm.Half),
		asm.StoreImm(asm.R7, 21, 64, asm.Byte),
	)
	for off := int16(22); off < 38; off += 4 {
		c.add(
			asm.LoadMem(asm.R1, asm.R7, off, asm.Word),
			asm.LoadMem(asm.R2, asm.R7, off+16, asm.Word),
			asm.StoreMem(asm.R7, off, asm.R2, asm.Word),
			asm.StoreMem(asm.R7, off+16, asm.R1, asm.Word),
			asm.Add.Reg(asm.R5, asm.R1),
			asm.Add.Reg(asm.R5, asm.R2),
		)
	}
}

// carry folds a sum to 16 bits. R0 is lost.
func (c *code) carry(r asm.Register) {
	c.add(asm.Mov.Reg(asm.R0, r), asm.RSh.Imm(asm.R0, 32), asm.LSh.Imm(r, 32), asm.RSh.Imm(r, 32), asm.Add.Reg(r, asm.R0))
	for range 3 {
		c.add(asm.Mov.Reg(asm.R0, r), asm.RSh.Imm(asm.R0, 16), asm.And.Imm(r, 0xFFFF), asm.Add.Reg(r, asm.R0))
	}
}

// counted adds one to the answer's counter and to that of its kind, and sends the frame.
func (c *code) counted() {
	c.add(asm.LoadMem(asm.R1, asm.R8, recSlot, asm.Word), asm.Add.Imm(asm.R1, kinds), asm.StoreMem(asm.RFP, stCell, asm.R1, asm.Word))
	c.increment(c.label("kind"))
	c.add(
		asm.Mov.Imm(asm.R1, c.f.kind*perFamily).WithSymbol(c.label("kind")),
		asm.LoadMem(asm.R2, asm.RFP, stOPT, asm.DWord),
		asm.JEq.Imm(asm.R2, 0, c.label("count")),
		asm.Add.Imm(asm.R1, 1),
		asm.LoadMem(asm.R2, asm.RFP, stDO, asm.DWord),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.StoreMem(asm.RFP, stCell, asm.R1, asm.Word).WithSymbol(c.label("count")),
	)
	c.increment(c.label("send"))
	c.add(asm.Mov.Imm(asm.R0, verdictSend).WithSymbol(c.label("send")), asm.Return())
}

// increment the counter whose number is on the stack. It belongs to this processor, so nobody else writes it.
func (c *code) increment(none string) {
	c.lookup(c.counters, stCell, none)
	c.add(
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
	)
}

func (c *code) ends() {
	c.add(asm.StoreImm(asm.RFP, stCell, kindMiss, asm.Word).WithSymbol("miss"))
	c.increment("pass")
	c.add(asm.Ja.Label("pass"), asm.StoreImm(asm.RFP, stCell, kindRoom, asm.Word).WithSymbol("room"))
	c.increment("pass")
	c.add(
		asm.Mov.Imm(asm.R0, verdictPass).WithSymbol("pass"), asm.Return(),
		asm.Mov.Imm(asm.R0, verdictDrop).WithSymbol("drop"), asm.Return(),
	)
}
