//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

const (
	templateSize = 128
	liveFrames   = 1 << 1  // BPF_F_TEST_XDP_LIVE_FRAMES
	perCall      = 1 << 20 // frames, most of them before their time and dropped at once
	catchUp      = 50_000  // ns: what was missed longer ago is not sent later
)

// child is this program in a namespace of the rig.
func child(args []string) {
	var err error
	if args[0] == "bare" {
		err = bare()
	} else {
		err = generate(args[1:])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench xdp %s: %v\n", args[0], err)
		os.Exit(1)
	}
}

// generate sends questions: rate per second, duration, number of names, EDNS.
func generate(args []string) error {
	rate, err1 := strconv.ParseInt(args[0], 10, 64)
	d, err2 := time.ParseDuration(args[1])
	n, err3 := strconv.Atoi(args[2])
	edns, err4 := strconv.ParseBool(args[3])
	device, err5 := net.InterfaceByName(clientDev)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	templates, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: templateSize, MaxEntries: uint32(n)}) //nolint:gosec // a flag
	if err != nil {
		return err
	}
	size := 0
	for i := range n {
		f := question(i, edns)
		size = len(f)
		if err := templates.Put(uint32(i), append(f, make([]byte, templateSize-len(f))...)); err != nil {
			return err
		}
	}
	state, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 16, MaxEntries: 1})
	if err != nil {
		return err
	}
	p, err := ebpf.NewProgram(source(templates, state, n, size, int32(1e9/rate))) //nolint:gosec // a flag
	if err != nil {
		return err
	}
	frame := make([]byte, size+1)
	context := make([]byte, 24) // struct xdp_md
	binary.LittleEndian.PutUint32(context[4:], uint32(size+1))
	binary.LittleEndian.PutUint32(context[12:], uint32(device.Index)) //nolint:gosec // an index
	for end := time.Now().Add(d); time.Now().Before(end); {
		_, err := p.Run(&ebpf.RunOptions{Data: frame, Context: context, Repeat: perCall, Flags: liveFrames})
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return nil
}

// source writes the next of n templates into the frame and sends it, when its time has come. Frames are used again and
// come back as the server left them: so each is written anew, and made one byte shorter, for then the kernel takes its
// length from here and not from its last use.
func source(templates, state *ebpf.Map, n, size int, interval int32) *ebpf.ProgramSpec {
	lookup := func(m *ebpf.Map) asm.Instructions {
		return asm.Instructions{
			asm.LoadMapPtr(asm.R1, m.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "drop"),
		}
	}
	is := append(asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1), asm.StoreImm(asm.RFP, -4, 0, asm.Word)}, lookup(state)...)
	is = append(is,
		asm.Mov.Reg(asm.R7, asm.R0), // 0: time of the next, 8: its number
		asm.FnKtimeGetNs.Call(),
		asm.LoadMem(asm.R1, asm.R7, 0, asm.DWord),
		asm.JLT.Reg(asm.R0, asm.R1, "drop"),
		asm.Sub.Imm(asm.R0, catchUp),
		asm.JGT.Reg(asm.R1, asm.R0, "time"),
		asm.Mov.Reg(asm.R1, asm.R0),
		asm.Add.Imm(asm.R1, interval).WithSymbol("time"),
		asm.StoreMem(asm.R7, 0, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, asm.R7, 8, asm.DWord),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.Add.Imm(asm.R2, 1),
		asm.StoreMem(asm.R7, 8, asm.R2, asm.DWord),
		asm.Mod.Imm(asm.R1, int32(n)), //nolint:gosec // a flag
		asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word),
	)
	is = append(is, lookup(templates)...)
	is = append(is,
		asm.LoadMem(asm.R1, asm.R6, 0, asm.Word),
		asm.LoadMem(asm.R2, asm.R6, 4, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Add.Imm(asm.R3, int32(size)), //nolint:gosec // below templateSize
		asm.JGT.Reg(asm.R3, asm.R2, "drop"),
	)
	off := 0
	for _, s := range []asm.Size{asm.DWord, asm.Word, asm.Half, asm.Byte} {
		for ; off+s.Sizeof() <= size; off += s.Sizeof() {
			is = append(is, asm.LoadMem(asm.R2, asm.R0, int16(off), s), asm.StoreMem(asm.R1, int16(off), asm.R2, s))
		}
	}
	is = append(is,
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, -1),
		asm.FnXdpAdjustTail.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.Mov.Imm(asm.R0, 3), asm.Return(), // XDP_TX: out of the device the frame is said to come from
		asm.Mov.Imm(asm.R0, 1).WithSymbol("drop"), asm.Return(),
	)
	return &ebpf.ProgramSpec{Name: "jmbench_source", Type: ebpf.XDP, License: "MIT", Instructions: is}
}

// sink counts answers and drops them: NOERROR with one record, and all others from port 53.
func sink(seen *ebpf.Map) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{Name: "jmbench_sink", Type: ebpf.XDP, License: "MIT", Instructions: asm.Instructions{
		asm.LoadMem(asm.R7, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R8, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R0, asm.R7),
		asm.Add.Imm(asm.R0, 54),
		asm.JGT.Reg(asm.R0, asm.R8, "pass"),
		asm.LoadMem(asm.R0, asm.R7, 12, asm.Half),
		asm.JNE.Imm(asm.R0, 0x0008, "pass"), // IPv4
		asm.LoadMem(asm.R0, asm.R7, 34, asm.Half),
		asm.JNE.Imm(asm.R0, 0x3500, "pass"), // from port 53
		asm.StoreImm(asm.RFP, -4, 1, asm.Word),
		asm.LoadMem(asm.R0, asm.R7, 44, asm.Half),
		asm.And.Imm(asm.R0, 0x0F80),
		asm.JNE.Imm(asm.R0, 0x80, "count"),
		asm.LoadMem(asm.R0, asm.R7, 48, asm.Half),
		asm.JNE.Imm(asm.R0, 0x0100, "count"),
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, seen.FD()).WithSymbol("count"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 1), asm.Return(),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("pass"), asm.Return(),
	}}
}

func sumOf(m *ebpf.Map, key uint32) (sum uint64, err error) {
	var each []uint64
	err = m.Lookup(key, &each)
	for _, n := range each {
		sum += n
	}
	return sum, err
}
