package tlsdist

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"hash"
)

// parseKey reads the first private key of a PEM file: PKCS#8, plain or encrypted with PBES2, PKCS#1, or SEC 1.
// Errors: ErrKeyFormat, ErrKeyPassword.
func parseKey(b, password []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Headers["DEK-Info"] != "" {
			return nil, fmt.Errorf("%w: encrypted in OpenSSL's old way; convert it with: openssl pkcs8 -topk8 -v2 aes256", ErrKeyFormat)
		}
		var key any
		var err error
		switch block.Type {
		case pemKey:
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case pemEncryptedKey:
			var der []byte
			if der, err = decryptPKCS8(block.Bytes, password); err != nil {
				return nil, err
			}
			if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
				return nil, ErrKeyPassword // the padding fitted by chance
			}
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrKeyFormat, err)
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("%w: %T cannot sign", ErrKeyFormat, key)
		}
		return signer, nil
	}
	return nil, fmt.Errorf("%w: no private key in PEM form", ErrKeyFormat)
}

// belongs tells whether a key is that of a certificate.
func belongs(key crypto.Signer, c *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}

// Object identifiers of PBES2, RFC 8018.
var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA384 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidAES128CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	oidDESEDE3CBC = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}
)

// maxIterations bounds the work that a file can ask of us.
const maxIterations = 10_000_000

// The structures of an encrypted key: RFC 5958, 3, and RFC 8018, A.2 and A.4.
type (
	encryptedKeyInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2Params struct {
		KeyDerivation pkix.AlgorithmIdentifier
		Encryption    pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

// decryptPKCS8 opens an EncryptedPrivateKeyInfo.
func decryptPKCS8(der, password []byte) ([]byte, error) {
	var info encryptedKeyInfo
	if err := unmarshalAll(der, &info); err != nil {
		return nil, err
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("%w: encrypted with %v, not PBES2; convert it with: openssl pkcs8 -topk8 -v2 aes256", ErrKeyFormat, info.Algorithm.Algorithm)
	}
	var scheme pbes2Params
	if err := unmarshalAll(info.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, err
	}
	newCipher, size, err := blockCipher(scheme.Encryption.Algorithm)
	if err != nil {
		return nil, err
	}
	if len(password) == 0 {
		return nil, ErrKeyPassword
	}
	key, err := deriveKey(scheme.KeyDerivation, password, size)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if err := unmarshalAll(scheme.Encryption.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	c, err := newCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKeyFormat, err)
	}
	n := c.BlockSize()
	if len(iv) != n || len(info.Data) == 0 || len(info.Data)%n != 0 {
		return nil, fmt.Errorf("%w: not in whole blocks", ErrKeyFormat)
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(c, iv).CryptBlocks(plain, info.Data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > n {
		return nil, ErrKeyPassword
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, ErrKeyPassword
		}
	}
	return plain[:len(plain)-pad], nil
}

func unmarshalAll(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrKeyFormat, err)
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: trailing bytes", ErrKeyFormat)
	}
	return nil
}

func blockCipher(oid asn1.ObjectIdentifier) (newCipher func(key []byte) (cipher.Block, error), keySize int, err error) {
	switch {
	case oid.Equal(oidAES128CBC):
		return aes.NewCipher, 16, nil
	case oid.Equal(oidAES192CBC):
		return aes.NewCipher, 24, nil
	case oid.Equal(oidAES256CBC):
		return aes.NewCipher, 32, nil
	case oid.Equal(oidDESEDE3CBC):
		return des.NewTripleDESCipher, 24, nil
	}
	return nil, 0, fmt.Errorf("%w: cipher %v", ErrKeyFormat, oid)
}

func deriveKey(alg pkix.AlgorithmIdentifier, password []byte, size int) ([]byte, error) {
	if !alg.Algorithm.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("%w: key derivation %v", ErrKeyFormat, alg.Algorithm)
	}
	var p pbkdf2Params
	if err := unmarshalAll(alg.Parameters.FullBytes, &p); err != nil {
		return nil, err
	}
	if p.Iterations < 1 || p.Iterations > maxIterations || p.KeyLength != 0 && p.KeyLength != size {
		return nil, fmt.Errorf("%w: %d iterations, %d bytes of key", ErrKeyFormat, p.Iterations, p.KeyLength)
	}
	var prf func() hash.Hash
	switch oid := p.PRF.Algorithm; {
	case len(oid) == 0, oid.Equal(oidHMACSHA1): // the default
		prf = sha1.New
	case oid.Equal(oidHMACSHA256):
		prf = sha256.New
	case oid.Equal(oidHMACSHA384):
		prf = sha512.New384
	case oid.Equal(oidHMACSHA512):
		prf = sha512.New
	default:
		return nil, fmt.Errorf("%w: pseudo-random function %v", ErrKeyFormat, oid)
	}
	return pbkdf2.Key(prf, string(password), p.Salt, p.Iterations, size)
}
