package actors

import (
	"crypto/rand"
	"strings"

	"github.com/beamkeeper/beamkeeper/node"
)

const (
	suffixLength  = 6
	suffixLetters = "0123456789abcdefghijklmnopqrstuvwxyz"
)

// newInstanceName makes the name of an instance: the app's, a hyphen, six of [0-9a-z].
func newInstanceName(app string) string {
	b := make([]byte, 0, suffixLength)
	var r [16]byte
	for {
		rand.Read(r[:]) // never fails
		for _, c := range r {
			if c < 252 { // 7 × 36, so that every letter is as likely
				if b = append(b, suffixLetters[c%36]); len(b) == suffixLength {
					return app + "-" + string(b)
				}
			}
		}
	}
}

// AppOf returns the app that an instance's name belongs to; ok is false when it is no such name.
func AppOf(instance string) (app string, ok bool) {
	i := len(instance) - suffixLength - 1
	if i < 1 || instance[i] != '-' {
		return "", false
	}
	if strings.Trim(instance[i+1:], suffixLetters) != "" {
		return "", false
	}
	return instance[:i], true
}

// nodeName is the name of an instance's node.
func (s *System) nodeName(instance string) node.Name {
	return node.Name{Alive: instance, Host: s.cfg.Cluster.Name().Host}
}
