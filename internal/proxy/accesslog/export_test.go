package accesslog

// Room is how many bytes wait for a slow disk at least.
const Room = maxPages * pageSize

// LineOf is what Add would write.
func LineOf(o Options, r *Record) []byte { return (&Log{o: o}).line(nil, r) }
