package tlsdist

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/node"
)

// verifyChain checks everything about a peer's certificate but its names.
func verifyChain(certs []*x509.Certificate, roots *x509.CertPool, use x509.ExtKeyUsage, now time.Time) error {
	if len(certs) == 0 {
		return ErrNoCertificate
	}
	leaf := certs[0]
	o := x509.VerifyOptions{
		Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use},
	}
	for _, c := range certs[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(o)
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return fmt.Errorf("%w: %s", ErrForeignCA, describe(leaf))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		// foreign certificates may have expired as well; that is then what is told
		late := invalid.Cert
		if late == nil {
			late = leaf
		}
		if now.Before(late.NotBefore) {
			return fmt.Errorf("%w: from %s: %s", ErrNotYetValid, late.NotBefore.UTC().Format(time.RFC3339), describe(leaf))
		}
		return fmt.Errorf("%w: on %s: %s", ErrExpired, late.NotAfter.UTC().Format(time.RFC3339), describe(leaf))
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return fmt.Errorf("%w: %s", ErrBadUse, describe(leaf))
	}
	return fmt.Errorf("%w: %w: %s", ErrForeignCA, err, describe(leaf))
}

// describe names a certificate for people. Its text comes from the peer.
func describe(c *x509.Certificate) string {
	return fmt.Sprintf("subject %.200q, issuer %.200q, serial %.40x", c.Subject.String(), c.Issuer.String(), c.SerialNumber)
}

// checkNames checks that a certificate is for the host of peer, and for peer itself when it was issued for a node.
func checkNames(leaf *x509.Certificate, peer node.Name) error {
	if names := nodeNames(leaf); len(names) > 0 {
		for _, n := range names {
			if n == peer {
				return checkHost(leaf, peer.Host)
			}
		}
		return fmt.Errorf("%w: it is for %s, the peer says that it is %s", ErrNameMismatch, names[0], claimed(peer))
	}
	return checkHost(leaf, peer.Host)
}

func claimed(peer node.Name) string {
	if peer.Alive == "" {
		return "a node without a name on " + peer.Host
	}
	return peer.String()
}

func checkHost(leaf *x509.Certificate, host string) error {
	err := leaf.VerifyHostname(host)
	if err == nil || noNames(leaf) && strings.EqualFold(leaf.Subject.CommonName, host) { // as OTP: the common name, when there is nothing better
		return nil
	}
	return fmt.Errorf("%w: it is for the hosts %.200q, the peer is on %q", ErrNameMismatch, hosts(leaf), host)
}

func noNames(c *x509.Certificate) bool {
	return len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses)+len(c.URIs) == 0
}

func hosts(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && c.Subject.CommonName != "" {
		names = append(names, c.Subject.CommonName)
	}
	return names
}

// nodeScheme marks the URI in a certificate that names a node: erl-node://ALIVE@HOST.
const nodeScheme = "erl-node"

func nodeURI(n node.Name) *url.URL {
	return &url.URL{Scheme: nodeScheme, User: url.User(n.Alive), Host: n.Host}
}

// nodeNames gives the nodes that a certificate was issued for by an Authority.
func nodeNames(c *x509.Certificate) []node.Name {
	var names []node.Name
	for _, u := range c.URIs {
		if u.Scheme == nodeScheme && u.User != nil {
			names = append(names, node.Name{Alive: u.User.Username(), Host: u.Host})
		}
	}
	return names
}
