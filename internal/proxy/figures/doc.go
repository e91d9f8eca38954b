// Package figures counts what the proxy does, for Prometheus. Counting costs a request a few atomic additions to memory
// that few other connections write to, no search by label and no allocation; adding up is left to the scrape.
//
//	configuration -> Profile(name).Endpoint(name) -> kept with the choice    a request: Begin, Attempt, Done, End
//	scrape        -> sum over the shards, of what the configuration still has
//
// Label values come from the configuration and from the lists of Options, never from a request: a word that is not in
// its list counts as "other". What the configuration no longer has is not told any more, and is forgotten after that; an
// exchange that ends later counts into memory that nobody looks at.
//
// One finished request in eight is a sample for the histograms (Done says which), so their _count is not the number of
// requests; averages and quantiles are those of all. Nothing else is sampled.
package figures
