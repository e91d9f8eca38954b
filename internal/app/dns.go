package app

import (
	"context"
	"runtime"
	"sync"
	"time"

	"jurymast/internal/api"
	"jurymast/internal/nameserver"
	"jurymast/internal/nameserver/batch"
	"jurymast/internal/profile"
)

// dnsOptions adds what the node's configuration says about the nameserver.
func dnsOptions(n *profile.Node, opt nameserver.Options) nameserver.Options {
	udp := &n.Nameserver.UDP
	opt.Listen, opt.Loops, opt.TCP = n.Nameserver.Listen, udp.Loops, streamLimits(&n.Nameserver.TCP)
	opt.EDNS, opt.XDP = nameserver.EDNSOf(&n.Nameserver, n.Name), nameserver.XDPOf(&n.Nameserver)
	opt.Secure.TLS, opt.Secure.HTTPS, opt.Secure.QUIC = n.Nameserver.TLS, n.Nameserver.HTTPS, n.Nameserver.QUIC
	opt.Limits = nameserver.LimitsOf(&n.Nameserver)
	opt.Batch = batch.Options{Shape: batch.Shape(udp.Wait), Size: udp.Batch, ByCPU: udp.Spread == profile.SpreadProcessor}
	return opt
}

// driverStatus is how answers in the network driver stand, nil unless they were asked for.
func (a *App) driverStatus() *api.DriverStatus {
	if a.file.Node.Nameserver.XDP.Rule == profile.XDPOff {
		return nil
	}
	st := a.dns.Driver()
	out := &api.DriverStatus{
		State: st.State, Reason: st.Reason, Entries: st.Entries, Waiting: st.Waiting, Left: st.Left,
		Answered: st.Answered, Missed: st.Missed, NoRoom: st.NoRoom, Interfaces: []api.DriverInterface{},
	}
	for _, n := range st.Interfaces {
		out.Interfaces = append(out.Interfaces, api.DriverInterface(n))
	}
	return out
}

// sparing guards the one number of processors that all of a process share.
var sparing sync.Mutex

// spareProcessors gives the scheduler one processor more for each loop that keeps one while it waits, so that
// everything else runs on as many as before.
func (a *App) spareProcessors() {
	udp := &a.file.Node.Nameserver.UDP
	loops := a.dns.Loops()
	if loops == 0 || udp.Wait != profile.WaitRaw && udp.Wait != profile.WaitBusy {
		return
	}
	more := func(n int) {
		sparing.Lock()
		defer sparing.Unlock()
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	}
	more(loops)
	a.undo.add("processors", time.Second, func(context.Context) error { more(-loops); return nil })
}
