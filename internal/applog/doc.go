// Package applog keeps and reads the log files that instances write, and their crash dumps.
//
// A log file and its archives are one stream of bytes, counted from the first that was ever written. The writer holds the file
// open for appending and knows of nothing. A rotation moves the head of the file into compressed archives; the first line of
// the file says where in the stream it goes on (see rotation and head). All that reads goes by places in the stream, so a
// rotation changes nothing for it.
package applog
