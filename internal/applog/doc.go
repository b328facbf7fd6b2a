// Package applog reads the log files that instances write: their last lines, what is added, and why a BEAM ended.
package applog
