package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// givenFiles are a certificate of an authority that is not ours, and its encrypted key.
type givenFiles struct{ ca, cert, key, password string }

func foreignFiles(t *testing.T, dir, host string) givenFiles {
	t.Helper()
	keys := filepath.Join("..", "..", "tlsdist", "testdata", "keys")
	plain, err := os.ReadFile(filepath.Join(keys, "sec1.pem"))
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := os.ReadFile(filepath.Join(keys, "pbes2-aes-256-cbc.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(plain)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from, to := time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, 1)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Somebody else's CA"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, NotBefore: from, NotAfter: to, DNSNames: []string{host},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	certificate := func(template *x509.Certificate, public *ecdsa.PublicKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, template, ca, public, caKey)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	f := givenFiles{ca: filepath.Join(dir, "ca.crt"), cert: filepath.Join(dir, "node.crt"), key: filepath.Join(dir, "node.key"), password: filepath.Join(dir, "password")}
	err = errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(f.ca, certificate(ca, &caKey.PublicKey), 0o644),
		os.WriteFile(f.cert, certificate(leaf, &key.PublicKey), 0o644),
		os.WriteFile(f.key, encrypted, 0o400),
		os.WriteFile(f.password, []byte("open\n"), 0o400),
	)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
