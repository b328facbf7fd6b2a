package tlsdist

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Times of a rollover.
const (
	// TrustBeforeUse is how long a new authority is only trusted before it signs: a BEAM reads changed files at most two
	// minutes later.
	TrustBeforeUse = 2 * time.Minute
	// RolloverBefore is how long before its end an authority is replaced by itself.
	RolloverBefore = 90 * 24 * time.Hour
)

const (
	nextKeyFile  = "next.key"
	rolloverFile = "rollover"

	wordTrusted = "trusted"
	wordSigning = "signing"
)

// Rollover is the replacement of an authority. Until it is over both are trusted.
type Rollover struct {
	Signing bool      // the new one signs; else it is only trusted as yet
	Since   time.Time // of that
	Until   time.Time // when the next step is due: the new one signs, or the old one is trusted no more
}

// StartRollover makes a new authority, which is trusted at once beside the present one. Renew does what follows: after
// TrustBeforeUse the new one signs, and issues all certificates anew; when the last certificate of the old one has
// expired it is trusted no more. Links stay up. Copies of ca.crt on other hosts are the caller's affair.
// Error: ErrRollover when one is under way, else the file system's.
func (a *Authority) StartRollover() (Rollover, error) {
	var r Rollover
	err := a.locked(func() (err error) {
		if err := a.load(); err != nil {
			return err
		}
		if _, err := a.rollover(); err == nil {
			return ErrRollover
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r, err = a.startRollover()
		return err
	})
	if err != nil {
		return Rollover{}, fmt.Errorf("tlsdist: rollover: %w", err)
	}
	return r, nil
}

// startRollover writes the key, which nobody uses before the two others are there.
func (a *Authority) startRollover() (Rollover, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return Rollover{}, err
	}
	cert, err := a.newCert(key)
	if err != nil {
		return Rollover{}, err
	}
	owner := ownerOf(filepath.Join(a.dir, authorityKeyFile)) // root starts what the daemon's user goes on with
	if err := writeFile(filepath.Join(a.dir, nextKeyFile), keyPEM, 0o400, owner); err != nil {
		return Rollover{}, err
	}
	if err := a.writeTrusted(a.Cert(), cert); err != nil {
		return Rollover{}, err
	}
	return a.writeRollover(wordTrusted)
}

// Rollover gives the replacement under way. Error: fs.ErrNotExist when there is none.
func (a *Authority) Rollover() (Rollover, error) {
	r, err := a.rollover()
	if err != nil {
		return Rollover{}, fmt.Errorf("tlsdist: rollover: %w", err)
	}
	return r, nil
}

func (a *Authority) rollover() (Rollover, error) {
	file := filepath.Join(a.dir, rolloverFile)
	b, err := readFile(file)
	if err != nil {
		return Rollover{}, err
	}
	word, stamp, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	since, err := time.Parse(time.RFC3339, stamp)
	if err != nil || word != wordTrusted && word != wordSigning {
		return Rollover{}, fmt.Errorf("%s says neither %q nor %q and since when", file, wordTrusted, wordSigning)
	}
	return a.rolloverOf(word, since), nil
}

func (a *Authority) rolloverOf(word string, since time.Time) Rollover {
	if word == wordTrusted {
		return Rollover{Since: since, Until: since.Add(TrustBeforeUse)}
	}
	return Rollover{Signing: true, Since: since, Until: since.Add(max(a.lifetime, DefaultLifetime))}
}

func (a *Authority) writeRollover(word string) (Rollover, error) {
	now := a.now().UTC().Truncate(time.Second)
	text := word + " " + now.Format(time.RFC3339) + "\n"
	owner := ownerOf(filepath.Join(a.dir, authorityKeyFile))
	if err := writeFile(filepath.Join(a.dir, rolloverFile), []byte(text), 0o444, owner); err != nil {
		return Rollover{}, err
	}
	return a.rolloverOf(word, now), nil
}

// advance takes the next step of a rollover if it is due, and starts one when the authority nears its end. Each step
// can be cut off anywhere and is done again.
func (a *Authority) advance() error {
	if err := a.load(); err != nil {
		return err
	}
	r, err := a.rollover()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if a.now().After(a.Cert().NotAfter.Add(-RolloverBefore)) {
			_, err = a.startRollover()
			return err
		}
		return nil
	case err != nil:
		return err
	case a.now().Before(r.Until):
		return nil
	case r.Signing:
		if err := a.writeTrusted(a.Cert()); err != nil {
			return err
		}
		return os.Remove(filepath.Join(a.dir, rolloverFile))
	}
	// The certificate that signs is the one that ca.key belongs to: renaming the key is the step.
	err = os.Rename(filepath.Join(a.dir, nextKeyFile), filepath.Join(a.dir, authorityKeyFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it was renamed before
		return err
	}
	if err := a.load(); err != nil {
		return err
	}
	_, err = a.writeRollover(wordSigning)
	return err
}

// writeTrusted writes ca.crt.
func (a *Authority) writeTrusted(certs ...*x509.Certificate) error {
	var b []byte
	for _, c := range certs {
		b = append(b, pemBlock(pemCertificate, c.Raw)...)
	}
	return writeFile(a.CertFile(), b, 0o444, ownerOf(a.CertFile()))
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pemBlock(pemKey, der), nil
}

// newCert makes the certificate of an authority.
func (a *Authority) newCert(key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	now := a.now()
	serial := newSerial()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Beamkeeper"}, CommonName: fmt.Sprintf("Beamkeeper CA %.8x", serial.Bytes())},
		NotBefore:    now.Add(-backdate), NotAfter: now.AddDate(authorityYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
