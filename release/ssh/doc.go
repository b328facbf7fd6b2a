// Package ssh publishes to a folder on another host, through the system's program ssh and plain commands there: sh, find,
// stat, cat, mktemp, mv, ln, sha256sum. Whom it may talk to and as whom is said where ssh looks: ~/.ssh/config, an agent,
// known_hosts.
package ssh
