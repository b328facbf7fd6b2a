package release

import (
	"bytes"
	"crypto/md5" //nolint:gosec // what some buckets keep; sha256 is what current.json trusts
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
)

// ErrDamaged: what came is not what the bucket has, by the bucket's own checksum.
var ErrDamaged = errors.New("damaged on the way")

// crc64NVME is the polynomial of S3's CRC64NVME, reversed.
const crc64NVME = 0x9a6c9329ac4bc9b5

// newChecksum gives the hash of a Checksum's algorithm; nil for one that we do not know.
func newChecksum(algorithm string) hash.Hash {
	switch algorithm {
	case "crc32":
		return crc32.NewIEEE()
	case "crc32c":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "crc64nvme":
		return crc64.New(crc64.MakeTable(crc64NVME))
	case "md5":
		return md5.New()
	case "sha1":
		return sha1.New()
	case "sha256":
		return sha256.New()
	}
	return nil
}

// sums takes the sha256 of what is written to it, and the checksums that the bucket has of it.
type sums struct {
	io.Writer
	sha256 hash.Hash
	kept   []Checksum
	taken  []hash.Hash // nil for an algorithm that we do not know
}

func newSums(kept []Checksum) *sums {
	s := &sums{sha256: sha256.New(), kept: kept}
	all := []io.Writer{s.sha256}
	for _, c := range kept {
		h := newChecksum(c.Algorithm)
		s.taken = append(s.taken, h)
		if h != nil {
			all = append(all, h)
		}
	}
	s.Writer = io.MultiWriter(all...)
	return s
}

// check compares what came with what the bucket says of it.
func (s *sums) check() error {
	for i, c := range s.kept {
		if s.taken[i] == nil {
			continue
		}
		if got := s.taken[i].Sum(nil); !bytes.Equal(got, c.Sum) {
			return fmt.Errorf("%w: its %s is %x, the bucket's is %x", ErrDamaged, c.Algorithm, got, c.Sum)
		}
	}
	return nil
}

func (s *sums) hexSHA256() string { return hex.EncodeToString(s.sha256.Sum(nil)) }
