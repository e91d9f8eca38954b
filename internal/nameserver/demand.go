package nameserver

type demander struct{}
