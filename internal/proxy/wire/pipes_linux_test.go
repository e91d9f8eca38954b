package wire

func idlePipesNow() int {
	pipes.mu.Lock()
	defer pipes.mu.Unlock()
	for _, p := range pipes.idle {
		if p.held != 0 {
			return -1
		}
	}
	return len(pipes.idle)
}
