//go:build !linux

package socket

func yield() {}
