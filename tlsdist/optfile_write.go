package tlsdist

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// WriteOptFile writes an ssl_dist_optfile, mode 0400, with which the BEAMs of owner use the files of spec. Its folder
// is made if need be. The password of an encrypted key is written into it.
func WriteOptFile(file string, spec FilesSpec, owner Owner) error {
	o := OptFileSpec{CertFile: spec.CertFile, KeyFile: spec.KeyFile, CAFile: spec.CAFile}
	if spec.PasswordFile != "" {
		b, err := readPrivate(spec.PasswordFile)
		if err != nil {
			return fmt.Errorf("tlsdist: password of the key: %w", err)
		}
		o.Password = string(bytes.TrimRight(b, "\r\n"))
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("tlsdist: %w", err)
	}
	if err := writeFile(file, []byte(OptFileText(o)), 0o400, &owner); err != nil {
		return fmt.Errorf("tlsdist: %w", err)
	}
	return nil
}
