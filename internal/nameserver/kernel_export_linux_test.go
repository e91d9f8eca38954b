package nameserver

// What the kernel tells.
var (
	SocketDrops = socketDrops
	ThreadTime  = threadTime
)
