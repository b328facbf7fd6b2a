package node

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxVectors is what one writev takes (IOV_MAX).
const maxVectors = 1024

// directWriter writes to a socket what it takes at once.
type directWriter interface {
	// write returns how many bytes were taken, possibly none.
	write(b net.Buffers) (int, error)
}

type rawWriter struct{ raw syscall.RawConn }

// nowWriter is what a connection that is more than a socket, such as one of TLS, may offer for the same.
type nowWriter interface {
	WriteNow(b net.Buffers) (int, error)
}

type nowDirect struct{ conn nowWriter }

func (w nowDirect) write(b net.Buffers) (int, error) { return w.conn.WriteNow(b) }

// newDirectWriter gives nil for connections that only write as fast as the peer reads.
func newDirectWriter(conn net.Conn) directWriter {
	if now, ok := conn.(nowWriter); ok {
		return nowDirect{now}
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return rawWriter{raw: raw}
}

func (w rawWriter) write(b net.Buffers) (n int, err error) {
	if len(b) > maxVectors {
		b = b[:maxVectors]
	}
	outer := w.raw.Write(func(fd uintptr) bool {
		for {
			if len(b) == 1 {
				n, err = unix.Write(int(fd), b[0])
			} else {
				n, err = unix.Writev(int(fd), b)
			}
			if !errors.Is(err, unix.EINTR) {
				return true // never wait
			}
		}
	})
	n = max(n, 0)
	if errors.Is(err, unix.EAGAIN) {
		err = nil
	}
	if err == nil {
		err = outer
	}
	return n, err
}
