package tlsdist

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Times of certificates.
const (
	DefaultLifetime = 7 * 24 * time.Hour
	authorityYears  = 10
	backdate        = 24 * time.Hour // so that a clock that is behind, or set back, accepts a new certificate
)

const (
	authorityKeyFile  = "ca.key"
	authorityCertFile = "ca.crt"
	lockFile          = "lock"
	nodesFolder       = "nodes"
)

// Options of an Authority. The zero value gives the defaults.
type Options struct {
	Lifetime time.Duration    // of the certificates of nodes; 0: DefaultLifetime
	Time     func() time.Time // nil: time.Now
}

// Authority issues certificates to nodes and keeps them in a folder, see the package's comment. Its methods may be
// called by several goroutines, and several processes may have the same folder.
type Authority struct {
	dir      string
	lifetime time.Duration
	now      func() time.Time

	signer atomic.Pointer[signer]
	mu     sync.Mutex // with the lock file: one change at a time
}

type signer struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// OpenAuthority opens the authority in dir, which is made with a new key if there is none.
func OpenAuthority(dir string, o Options) (*Authority, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	a := &Authority{dir: abs, lifetime: o.Lifetime, now: o.Time}
	if a.lifetime == 0 {
		a.lifetime = DefaultLifetime
	}
	if a.now == nil {
		a.now = time.Now
	}
	if err := os.MkdirAll(filepath.Join(abs, nodesFolder), 0o755); err != nil {
		return nil, fmt.Errorf("tlsdist: authority: %w", err)
	}
	err = a.locked(func() error {
		err := a.load()
		if errors.Is(err, fs.ErrNotExist) {
			err = a.create()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tlsdist: authority %s: %w", abs, err)
	}
	return a, nil
}

// AuthorityExists tells whether there is an authority in dir.
func AuthorityExists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, authorityCertFile))
	return err == nil
}

// Dir is the folder.
func (a *Authority) Dir() string { return a.dir }

// CertFile is the authority's certificate, which nodes must trust; during a Rollover those of both.
func (a *Authority) CertFile() string { return filepath.Join(a.dir, authorityCertFile) }

// Cert is the authority's certificate, the one that signs.
func (a *Authority) Cert() *x509.Certificate { return a.signer.Load().cert }

// refresh sees what another process has changed. What cannot be read stops nobody from going on with what was.
func (a *Authority) refresh() { _ = a.load() }

// locked runs f while nobody else changes the folder.
func (a *Authority) locked(f func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	l, err := os.OpenFile(filepath.Join(a.dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer l.Close() // which unlocks
	if err := syscall.Flock(int(l.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return f()
}

// load reads certificate and key. The certificate is written last: without it nothing has been issued.
func (a *Authority) load() error {
	certs, err := readCertificates(a.CertFile())
	if err != nil {
		return err
	}
	keyFile := filepath.Join(a.dir, authorityKeyFile)
	b, err := readPrivate(keyFile)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) { // not to be mistaken for an empty folder
			return fmt.Errorf("%s is missing beside %s", authorityKeyFile, authorityCertFile)
		}
		return err
	}
	key, err := parseKey(b, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", keyFile, err)
	}
	if ec, ok := key.(*ecdsa.PrivateKey); ok {
		for _, c := range certs { // two during a Rollover
			if ec.PublicKey.Equal(c.PublicKey) {
				a.signer.Store(&signer{key: ec, cert: c})
				return nil
			}
		}
	}
	return fmt.Errorf("%s does not belong to %s", authorityKeyFile, authorityCertFile)
}

func (a *Authority) create() error {
	key, keyPEM, err := newKey()
	if err != nil {
		return err
	}
	cert, err := a.newCert(key)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(a.dir, authorityKeyFile), keyPEM, 0o400, nil); err != nil {
		return err
	}
	if err := a.writeTrusted(cert); err != nil {
		return err
	}
	a.signer.Store(&signer{key: key, cert: cert})
	return nil
}

// newSerial has 127 random bits, and 20 octets at most as RFC 5280, 4.1.2.2 has it.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

const (
	pemCertificate  = "CERTIFICATE"
	pemKey          = "PRIVATE KEY"
	pemEncryptedKey = "ENCRYPTED PRIVATE KEY"
)

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
