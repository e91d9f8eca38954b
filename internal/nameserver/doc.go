// Package nameserver answers DNS questions with authority: static records of the zones, and the host names of
// profiles as the snapshot's decision has them. It never resolves for others, never decides itself and never keeps
// state between two questions.
//
//	packet -> wire.Query -> hub.Load() once -> zone -> node -> static set | compiled part of a profile -> message
//
// The same core (response.answer) serves UDP, TCP and Explain. What is fallible (zone text, names in each other's way)
// happens in preparation (compiler.config); what a profile answers right now is put into wire form when its view is
// published (compiler.part), so that a question only copies.
package nameserver
