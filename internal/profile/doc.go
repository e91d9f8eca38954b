// Package profile holds the operator's words: the configuration file and the shared documents, decoded strictly,
// with every default filled in on a copy and every mistake reported at once with file, line and column.
//
//	text -> parse, build (bounded, aliases resolved) -> decode onto defaults -> finish -> validate -> value or Problems
//	value -> NotYet (what this build does not carry out), Warnings (what may not be meant)
//
// It never opens a file, resolves a name or looks at a clock. Input is text, output is values: File for a node's own
// file, Profile and Zone for one shared document. What is written in a document is what is stored; the defaults are
// applied again by every node that reads it.
package profile
