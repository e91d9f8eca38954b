package nameserver

// ThreadTime is what the kernel tells.
var ThreadTime = threadTime
