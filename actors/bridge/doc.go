// Package bridge runs the actors of Ergo in this process and joins them to Erlang's distribution through package
// node.
package bridge
