package xdp

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// The program is put together here, instruction by instruction, so that neither a C compiler nor a file made by one is
// needed. R6 is the context, R7 the frame, R8 its end and later the record, R9 the end of the question.

// Verdicts of an XDP program.
const (
	verdictDrop = 1
	verdictPass = 2
	verdictSend = 3
)

// Offsets on the stack. The question is read, summed and folded in place.
const (
	stQuestion = -keySize
	stSum      = -80  // of the question as it was asked
	stOPT      = -88  // bytes of OPT behind the question: 0 or optSize
	stDO       = -96  // not 0 if signatures are wanted
	stLen      = -104 // bytes behind the question in the answer
	stCell     = -112 // number of the cell, then of the record, then of the counter
	stAddr     = -128 // 16 bytes: the address asked
)

const (
	offData, offEnd = 0, 4 // in xdp_md
	maxLabels       = 8
	dnsPort         = 0x3500 // 53 as it lies in memory

	// Helpers the assembler has no names for, from linux/bpf.h.
	fnLoadBytes  = asm.BuiltinFunc(189) // bpf_xdp_load_bytes
	fnStoreBytes = asm.BuiltinFunc(190) // bpf_xdp_store_bytes
	fnCoarse     = asm.BuiltinFunc(160) // bpf_ktime_get_coarse_ns
)

// family is where things are in a frame. Labels of its code end in its name.
type family struct {
	name     string
	kind     int32 // which counters
	udp, dns int16 // offsets of headers
	question int16
}

var (
	v4 = family{name: "4", kind: 0, udp: 34, dns: 42, question: 54}
	v6 = family{name: "6", kind: 1, udp: 54, dns: 62, question: 74}
)

// maps the program uses.
type maps struct{ keys, cells, records, addresses, counters, alive *ebpf.Map }

type code struct {
	maps
	is asm.Instructions
	f  family
}

func (c *code) add(is ...asm.Instruction) { c.is = append(c.is, is...) }

func (c *code) label(name string) string { return name + c.f.name }

func assemble(m maps) *ebpf.ProgramSpec {
	c := &code{maps: m}
	c.add(
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R7, asm.R6, offData, asm.Word),
		asm.LoadMem(asm.R8, asm.R6, offEnd, asm.Word),
		asm.Mov.Reg(asm.R0, asm.R7),
		asm.Add.Imm(asm.R0, int32(v4.question)),
		asm.JGT.Reg(asm.R0, asm.R8, "pass"),
		// From one station to one, which is us unless the interface is promiscuous.
		asm.LoadMem(asm.R0, asm.R7, 0, asm.Byte),
		asm.LoadMem(asm.R1, asm.R7, 6, asm.Byte),
		asm.Or.Reg(asm.R0, asm.R1),
		asm.And.Imm(asm.R0, 1),
		asm.JNE.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R0, asm.R7, 12, asm.Half),
		asm.JEq.Imm(asm.R0, 0xDD86, "start6"),
		asm.JNE.Imm(asm.R0, 0x0008, "pass"),
	)
	for _, f := range []family{v4, v6} {
		c.f = f
		if f == v4 {
			c.packet4()
		} else {
			c.packet6()
		}
		c.header()
		c.walk()
		c.opt()
		c.find()
		c.living()
		c.grow()
		c.reply()
		c.counted()
	}
	c.ends()
	return &ebpf.ProgramSpec{Name: "jurymast_answer", Type: ebpf.XDP, License: "MIT", Instructions: c.is}
}

// packet4 wants IPv4 without options or fragments. R5 becomes the frame's length as the packet tells it.
func (c *code) packet4() {
	c.add(
		asm.LoadMem(asm.R0, asm.R7, 14, asm.Byte),
		asm.JNE.Imm(asm.R0, 0x45, "pass"),
		asm.LoadMem(asm.R0, asm.R7, 20, asm.Half),
		asm.And.Imm(asm.R0, 0xFF3F), // more fragments, offset
		asm.JNE.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R0, asm.R7, 23, asm.Byte),
		asm.JNE.Imm(asm.R0, 17, "pass"),
		// No answer to where the kernel would not send one: 0/8, 127/8, 224/3.
		asm.LoadMem(asm.R0, asm.R7, 26, asm.Byte),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.JEq.Imm(asm.R0, 127, "pass"),
		asm.JGE.Imm(asm.R0, 224, "pass"),
		asm.LoadMem(asm.R5, asm.R7, 16, asm.Half),
		asm.HostTo(asm.BE, asm.R5, asm.Half),
		asm.Add.Imm(asm.R5, 14),
		// The address is looked up as an IPv4-mapped one.
		asm.Mov.Imm(asm.R0, 0),
		asm.StoreMem(asm.RFP, stAddr, asm.R0, asm.DWord),
		asm.StoreImm(asm.RFP, stAddr+8, 0xFFFF0000-1<<32, asm.Word),
		asm.LoadMem(asm.R0, asm.R7, 30, asm.Word),
		asm.StoreMem(asm.RFP, stAddr+12, asm.R0, asm.Word),
	)
}

// packet6 wants IPv6 without extension headers.
func (c *code) packet6() {
	c.add(
		asm.Mov.Reg(asm.R0, asm.R7).WithSymbol("start6"),
		asm.Add.Imm(asm.R0, int32(v6.question)),
		asm.JGT.Reg(asm.R0, asm.R8, "pass"),
		asm.LoadMem(asm.R0, asm.R7, 14, asm.Byte),
		asm.And.Imm(asm.R0, 0xF0),
		asm.JNE.Imm(asm.R0, 0x60, "pass"),
		asm.LoadMem(asm.R0, asm.R7, 20, asm.Byte),
		asm.JNE.Imm(asm.R0, 17, "pass"),
		// Nor to ::/64 (unspecified, loopback, mapped) and ff00::/8.
		asm.LoadMem(asm.R0, asm.R7, 22, asm.DWord),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.And.Imm(asm.R0, 0xFF),
		asm.JEq.Imm(asm.R0, 0xFF, "pass"),
		asm.LoadMem(asm.R5, asm.R7, 18, asm.Half),
		asm.HostTo(asm.BE, asm.R5, asm.Half),
		asm.Add.Imm(asm.R5, 54),
		asm.LoadMem(asm.R0, asm.R7, 38, asm.DWord),
		asm.StoreMem(asm.RFP, stAddr, asm.R0, asm.DWord),
		asm.LoadMem(asm.R0, asm.R7, 46, asm.DWord),
		asm.StoreMem(asm.RFP, stAddr+8, asm.R0, asm.DWord),
	)
}

// header wants a UDP datagram as long as its packet says, to port 53, and the header of a plain question.
func (c *code) header() {
	c.add(
		asm.LoadMem(asm.R0, asm.R7, c.f.udp+2, asm.Half),
		asm.JNE.Imm(asm.R0, dnsPort, "pass"),
		asm.LoadMem(asm.R0, asm.R7, c.f.udp, asm.Half),
		asm.JEq.Imm(asm.R0, 0, "pass"), // from port 0: the kernel would not send there either
		asm.LoadMem(asm.R1, asm.R7, c.f.udp+4, asm.Half),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.Add.Imm(asm.R1, int32(c.f.udp)),
		asm.JNE.Reg(asm.R1, asm.R5, "pass"),
		asm.LoadMem(asm.R0, asm.R7, c.f.dns+2, asm.Half),
		asm.And.Imm(asm.R0, 0xCFFA), // all but AA, RD, AD, CD
		asm.JNE.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R0, asm.R7, c.f.dns+4, asm.DWord), // the four counts
		asm.Mov.Imm(asm.R4, 0),
		asm.JEq.Imm(asm.R0, 0x0100, c.label("counts")),
		asm.Mov.Imm(asm.R4, optSize),
		asm.LoadImm(asm.R1, 0x0100000000000100, asm.DWord),
		asm.JNE.Reg(asm.R0, asm.R1, "pass"),
		asm.StoreMem(asm.RFP, stOPT, asm.R4, asm.DWord).WithSymbol(c.label("counts")),
	)
}

// walk finds the end of the question. Pointers are longer than a label may be and so go to the sockets.
func (c *code) walk() {
	last := int32(c.f.question) + MaxName - 1 // where the root may be at most
	c.add(asm.Mov.Imm(asm.R9, int32(c.f.question)))
	for range maxLabels + 1 {
		c.add(
			asm.Mov.Reg(asm.R0, asm.R7),
			asm.Add.Reg(asm.R0, asm.R9),
			asm.Mov.Reg(asm.R1, asm.R0),
			asm.Add.Imm(asm.R1, 1),
			asm.JGT.Reg(asm.R1, asm.R8, "pass"),
			asm.LoadMem(asm.R2, asm.R0, 0, asm.Byte),
			asm.JEq.Imm(asm.R2, 0, c.label("root")),
			asm.JGT.Imm(asm.R2, 63, "pass"),
			asm.Add.Reg(asm.R9, asm.R2),
			asm.Add.Imm(asm.R9, 1),
			asm.JGT.Imm(asm.R9, last, "pass"),
		)
	}
	c.add(
		asm.Ja.Label("pass"),
		asm.Add.Imm(asm.R9, 5).WithSymbol(c.label("root")),
		asm.Sub.Reg(asm.R5, asm.R9),
		asm.LoadMem(asm.R4, asm.RFP, stOPT, asm.DWord),
		asm.JNE.Reg(asm.R5, asm.R4, "pass"), // behind the question is the OPT or nothing
	)
}

// opt wants an OPT of version 0 without options, if there is one. The client's size does not matter: every answer is
// below 512 bytes.
func (c *code) opt() {
	c.add(
		asm.Mov.Imm(asm.R0, 0),
		asm.StoreMem(asm.RFP, stDO, asm.R0, asm.DWord),
		asm.JEq.Imm(asm.R4, 0, c.label("load")),
		asm.Mov.Reg(asm.R0, asm.R7),
		asm.Add.Reg(asm.R0, asm.R9),
		asm.Mov.Reg(asm.R1, asm.R0),
		asm.Add.Imm(asm.R1, optSize),
		asm.JGT.Reg(asm.R1, asm.R8, "pass"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.Byte),
		asm.JNE.Imm(asm.R1, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R0, 1, asm.Half),
		asm.JNE.Imm(asm.R1, 0x2900, "pass"),
		asm.LoadMem(asm.R1, asm.R0, 9, asm.Half),
		asm.JNE.Imm(asm.R1, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R0, 5, asm.Word), // extended code, version, flags
		asm.JEq.Imm(asm.R1, 0, c.label("load")),
		asm.JNE.Imm(asm.R1, 0x00800000, "pass"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreMem(asm.RFP, stDO, asm.R1, asm.DWord),
	)
}
