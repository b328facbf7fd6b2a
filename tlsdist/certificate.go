package tlsdist

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/node"
)

const (
	nodeFile     = "node.pem"
	recordFile   = "node.crt"
	previousFile = "previous.crt"
	optFile      = "inet_tls.conf"
)

// Certificate is one that an Authority issued to a node.
type Certificate struct {
	Node        node.Name
	Serial      string // hexadecimal
	Hosts       []string
	NotBefore   time.Time
	NotAfter    time.Time
	Fingerprint string // SHA-256 of the certificate, hexadecimal

	PEMFile string // certificate and private key
	OptFile string // ssl_dist_optfile for the node
	CAFile  string // the authority's certificate
}

// RenewAt is when a third of the certificate's life is left.
func (c Certificate) RenewAt() time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) * 2 / 3)
}

// Issue gives a node a new certificate, in place of the one it may have, which stays on record until the next.
// The files belong to owner; nil: to whom they belonged before, else to us.
//
// Errors: ErrHost for a host that OTP cannot check, else the file system's.
func (a *Authority) Issue(name node.Name, owner *Owner) (Certificate, error) {
	var c Certificate
	err := a.locked(func() (err error) {
		a.refresh()
		c, err = a.issue(name, owner)
		return err
	})
	if err != nil {
		return Certificate{}, fmt.Errorf("tlsdist: issue for %q: %w", name.String(), err)
	}
	return c, nil
}

// Ensure gives the certificate of a node, issued or renewed if need be, and its files in order.
func (a *Authority) Ensure(name node.Name, owner *Owner) (Certificate, error) {
	var c Certificate
	err := a.locked(func() error {
		a.refresh()
		old, err := a.find(name)
		if err == nil && a.now().Before(old.RenewAt()) && a.whole(name) && ownedBy(old.PEMFile, owner) {
			c = old
			return a.writeOptions(old, owner)
		}
		c, err = a.issue(name, owner)
		return err
	})
	if err != nil {
		return Certificate{}, fmt.Errorf("tlsdist: certificate for %q: %w", name.String(), err)
	}
	return c, nil
}

// whole tells whether the certificate on record was made with the present key, and is the one that the node has.
func (a *Authority) whole(name node.Name) bool {
	record, err := readCertificates(filepath.Join(a.nodeDir(name), recordFile))
	if err != nil || record[0].CheckSignatureFrom(a.Cert()) != nil {
		return false
	}
	given, err := readCertificates(filepath.Join(a.nodeDir(name), nodeFile))
	if errors.Is(err, fs.ErrPermission) {
		return true // it belongs to another user
	}
	return err == nil && given[0].Equal(record[0])
}

// signed tells whether the certificate on record was made with the present key.
func (a *Authority) signed(name node.Name) bool {
	record, err := readCertificates(filepath.Join(a.nodeDir(name), recordFile))
	return err != nil || record[0].CheckSignatureFrom(a.Cert()) == nil // what cannot be read, List tells
}

func (a *Authority) nodeDir(name node.Name) string {
	return filepath.Join(a.dir, nodesFolder, url.PathEscape(name.String()))
}

// CheckHost tells whether a certificate can be made for nodes on a host: OTP compares DNS names only. Error: ErrHost.
func CheckHost(host string) error {
	switch {
	case net.ParseIP(host) != nil:
		return fmt.Errorf("%w: %s is an IP address, and OTP checks names only; give node.host a name", ErrHost, host)
	case host == "" || len(host) > 253 || strings.IndexFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0:
		return fmt.Errorf("%w: %.64q", ErrHost, host)
	}
	return nil
}

func (a *Authority) issue(name node.Name, owner *Owner) (Certificate, error) {
	if _, err := node.ParseName(name.String()); err != nil {
		return Certificate{}, err
	}
	if err := CheckHost(name.Host); err != nil {
		return Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, err
	}
	der, err := a.sign(name, key)
	if err != nil {
		return Certificate{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Certificate{}, err
	}
	dir := a.nodeDir(name)
	if err := os.Mkdir(dir, 0o755); err == nil {
		// When root makes it, the daemon's user must be able to renew what is in it.
		if o := ownerOf(a.dir); o != nil && os.Geteuid() == 0 {
			err = os.Chown(dir, o.UID, o.GID)
		}
		if err != nil {
			return Certificate{}, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return Certificate{}, err
	}
	file := filepath.Join(dir, nodeFile)
	if owner == nil {
		owner = ownerOf(file)
	}
	if owner != nil && owner.UID != os.Geteuid() && os.Geteuid() != 0 {
		return Certificate{}, fmt.Errorf("only root can give files to user %d: %w", owner.UID, fs.ErrPermission)
	}
	// Both certificates are on record before they change places, so that there is no moment in which one is refused.
	record := filepath.Join(dir, recordFile)
	if old, err := readCertificates(record); err == nil {
		if err := writeFile(filepath.Join(dir, previousFile), pemBlock(pemCertificate, old[0].Raw), 0o444, nil); err != nil {
			return Certificate{}, err
		}
	}
	if err := writeFile(record, pemBlock(pemCertificate, der), 0o444, nil); err != nil {
		return Certificate{}, err
	}
	if err := a.writeOptions(a.describe(name, nil), owner); err != nil {
		return Certificate{}, err
	}
	if err := writeFile(file, append(pemBlock(pemCertificate, der), pemBlock(pemKey, keyDER)...), 0o400, owner); err != nil {
		return Certificate{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return Certificate{}, err
	}
	return a.describe(name, cert), nil
}

func (a *Authority) writeOptions(c Certificate, owner *Owner) error {
	text := OptFileText(OptFileSpec{CertFile: c.PEMFile, KeyFile: c.PEMFile, CAFile: c.CAFile})
	if old, err := readFile(c.OptFile); err == nil && string(old) == text {
		return nil
	}
	return writeFile(c.OptFile, []byte(text), 0o444, owner)
}

// maxCommonName is ub-common-name of RFC 5280, which OTP insists on.
const maxCommonName = 64

func (a *Authority) sign(name node.Name, key *ecdsa.PrivateKey) ([]byte, error) {
	now := a.now()
	s := a.signer.Load()
	end := now.Add(a.lifetime)
	if end.After(s.cert.NotAfter) {
		end = s.cert.NotAfter
	}
	subject := pkix.Name{Organization: []string{"Beamkeeper"}}
	if cn := name.String(); len(cn) <= maxCommonName {
		subject.CommonName = cn
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: subject,
		NotBefore: now.Add(-min(backdate, a.lifetime/10)), NotAfter: end,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{name.Host}, URIs: []*url.URL{nodeURI(name)},
		BasicConstraintsValid: true,
	}
	return x509.CreateCertificate(rand.Reader, template, s.cert, key.Public(), s.key)
}

// describe tells what is known of a node's certificate; with a nil cert, only where its files are.
func (a *Authority) describe(name node.Name, cert *x509.Certificate) Certificate {
	dir := a.nodeDir(name)
	c := Certificate{
		Node: name, PEMFile: filepath.Join(dir, nodeFile), OptFile: filepath.Join(dir, optFile), CAFile: a.CertFile(),
	}
	if cert != nil {
		c.tell(cert)
	}
	return c
}

// Describe tells what a certificate says, with no files.
func Describe(cert *x509.Certificate) Certificate {
	var c Certificate
	if names := nodeNames(cert); len(names) > 0 {
		c.Node = names[0]
	}
	c.tell(cert)
	return c
}

func (c *Certificate) tell(cert *x509.Certificate) {
	sum := sha256.Sum256(cert.Raw)
	c.Serial, c.Hosts = cert.SerialNumber.Text(16), hosts(cert)
	c.NotBefore, c.NotAfter, c.Fingerprint = cert.NotBefore, cert.NotAfter, hex.EncodeToString(sum[:])
}

// Export copies what a node needs, for use on another host: node.pem, ca.crt, and an inet_tls.conf that names the copies
// at where they will be. The files in dir, which is made if need be, are ours alone. They are not renewed.
func (a *Authority) Export(name node.Name, dir, where string) error {
	err := a.locked(func() error {
		c, err := a.find(name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		for to, from := range map[string]string{nodeFile: c.PEMFile, authorityCertFile: c.CAFile} {
			b, err := readFile(from)
			if err != nil {
				return err
			}
			if err := writeFile(filepath.Join(dir, to), b, 0o400, nil); err != nil {
				return err
			}
		}
		pem := filepath.Join(where, nodeFile)
		text := OptFileText(OptFileSpec{CertFile: pem, KeyFile: pem, CAFile: filepath.Join(where, authorityCertFile)})
		return writeFile(filepath.Join(dir, optFile), []byte(text), 0o400, nil)
	})
	if err != nil {
		return fmt.Errorf("tlsdist: export %q: %w", name.String(), err)
	}
	return nil
}

// Find gives the present certificate of a node. Error: ErrUnknownNode, or the file system's.
func (a *Authority) Find(name node.Name) (Certificate, error) { return a.find(name) }

func (a *Authority) find(name node.Name) (Certificate, error) {
	certs, err := readCertificates(filepath.Join(a.nodeDir(name), recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Certificate{}, fmt.Errorf("tlsdist: %w: %q", ErrUnknownNode, name.String())
	}
	if err != nil {
		return Certificate{}, err
	}
	return a.describe(name, certs[0]), nil
}

// List gives the present certificates of all nodes, sorted by name. Those that cannot be read are in the error.
func (a *Authority) List() ([]Certificate, error) {
	entries, err := os.ReadDir(filepath.Join(a.dir, nodesFolder))
	if err != nil {
		return nil, fmt.Errorf("tlsdist: %w", err)
	}
	var list []Certificate
	var errs []error
	for _, e := range entries {
		text, err := url.PathUnescape(e.Name())
		if err != nil {
			continue // not one of ours
		}
		name, err := node.ParseName(text)
		if err != nil {
			continue
		}
		c, err := a.find(name)
		switch {
		case err == nil:
			list = append(list, c)
		case !errors.Is(err, ErrUnknownNode): // removed meanwhile
			errs = append(errs, err)
		}
	}
	slices.SortFunc(list, func(x, y Certificate) int { return strings.Compare(x.Node.String(), y.Node.String()) })
	return list, errors.Join(errs...)
}

// Renew issues anew what is past RenewAt, or of an authority that has been replaced, and tells which. It takes the steps of a
// Rollover, and starts one RolloverBefore the authority's end. Links that are up are not touched.
func (a *Authority) Renew() ([]Certificate, error) {
	stuck := a.locked(a.advance)
	if stuck != nil {
		stuck = fmt.Errorf("tlsdist: authority %s: %w", a.dir, stuck)
	}
	list, err := a.List()
	err = errors.Join(stuck, err)
	var due []node.Name
	for _, c := range list {
		if !a.now().Before(c.RenewAt()) || !a.signed(c.Node) {
			due = append(due, c.Node)
		}
	}
	if len(due) == 0 {
		return nil, err
	}
	renewed, failed := a.Rotate(due...)
	return renewed, errors.Join(err, failed)
}

// Rotate issues anew the certificates of the named nodes, of all when none is named, and tells which. A node without
// certificate, such as one that is retired meanwhile, gets none.
func (a *Authority) Rotate(names ...node.Name) ([]Certificate, error) {
	var errs []error
	if len(names) == 0 {
		list, err := a.List()
		errs = append(errs, err)
		for _, c := range list {
			names = append(names, c.Node)
		}
	}
	var renewed []Certificate
	for _, name := range names {
		c, err := a.renew(name)
		switch {
		case err == nil:
			renewed = append(renewed, c)
		case !errors.Is(err, ErrUnknownNode):
			errs = append(errs, err)
		}
	}
	return renewed, errors.Join(errs...)
}

// renew is Issue for a node that has a certificate. Error: ErrUnknownNode when it has none.
func (a *Authority) renew(name node.Name) (Certificate, error) {
	var c Certificate
	err := a.locked(func() (err error) {
		a.refresh()
		if _, err = a.find(name); err == nil {
			c, err = a.issue(name, nil)
		}
		return err
	})
	return c, err
}

// Retire takes a node off the record: its certificates are refused from now on, though they may not have expired, and
// its files are removed. A node without certificate is no error. Its links that are up are the caller's to cut.
func (a *Authority) Retire(name node.Name) error {
	err := a.locked(func() error { return os.RemoveAll(a.nodeDir(name)) })
	if err != nil {
		return fmt.Errorf("tlsdist: retire %q: %w", name.String(), err)
	}
	return nil
}

// onRecord tells whether a certificate is the present or previous one of the node.
func (a *Authority) onRecord(leaf *x509.Certificate, name node.Name) (bool, error) {
	dir := a.nodeDir(name)
	for _, f := range []string{recordFile, previousFile} {
		certs, err := readCertificates(filepath.Join(dir, f))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		if certs[0].Equal(leaf) {
			return true, nil
		}
	}
	return false, nil
}

// readCertificates reads the certificates of a PEM file, at least one.
func readCertificates(file string) ([]*x509.Certificate, error) {
	b, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return parseCertificates(file, b)
}

func parseCertificates(file string, b []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != pemCertificate {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return certs, nil
}
