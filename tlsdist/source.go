package tlsdist

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"

	"github.com/beamkeeper/beamkeeper/node"
)

// NodeSource is the Source of a node that has its certificate from an Authority. It uses a renewed certificate from
// the next link on.
type NodeSource struct {
	authority *Authority
	name      node.Name
	identity  loaded[Identity]
}

// Source gives the Source of a node. The node needs a certificate, see Ensure.
func (a *Authority) Source(name node.Name) *NodeSource {
	return &NodeSource{authority: a, name: name}
}

// Identity gives the node's certificate, and the authority as the only one trusted.
func (s *NodeSource) Identity(Role) (*Identity, error) {
	return s.identity.current(func() (*Identity, []string, error) {
		file, ca := filepath.Join(s.authority.nodeDir(s.name), nodeFile), s.authority.CertFile()
		id, err := loadIdentity(file, file, ca, "")
		return id, []string{file, ca}, err
	})
}

// Check wants the certificate to be on record, and for exactly the peer.
func (s *NodeSource) Check(leaf *x509.Certificate, peer node.Name) error {
	names := nodeNames(leaf)
	if len(names) == 0 {
		return fmt.Errorf("%w: it names no node: %s", ErrNameMismatch, describe(leaf))
	}
	if peer != (node.Name{}) {
		if err := checkNames(leaf, peer); err != nil {
			return err
		}
	}
	ok, err := s.authority.onRecord(leaf, names[0])
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: %s, serial %x", ErrRetired, names[0], leaf.SerialNumber)
	}
	return nil
}

// loadIdentity reads a certificate with its key, and those to trust.
func loadIdentity(certFile, keyFile, caFile, password string) (*Identity, error) {
	chain, err := readCertificates(certFile)
	if err != nil {
		return nil, fmt.Errorf("tlsdist: certificate: %w", err)
	}
	b, err := readPrivate(keyFile)
	if err != nil {
		return nil, fmt.Errorf("tlsdist: key: %w", err)
	}
	key, err := parseKey(b, []byte(password))
	if err != nil {
		return nil, fmt.Errorf("tlsdist: key %s: %w", keyFile, err)
	}
	if !belongs(key, chain[0]) {
		return nil, fmt.Errorf("tlsdist: the key in %s is not that of the certificate in %s", keyFile, certFile)
	}
	cas, err := readCertificates(caFile)
	if err != nil {
		return nil, fmt.Errorf("tlsdist: authorities: %w", err)
	}
	id := &Identity{Certificate: tls.Certificate{PrivateKey: key, Leaf: chain[0]}, Roots: x509.NewCertPool()}
	for _, c := range chain {
		id.Certificate.Certificate = append(id.Certificate.Certificate, c.Raw)
	}
	for _, c := range cas {
		id.Roots.AddCert(c)
	}
	return id, nil
}
