package tlsdist

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"github.com/beamkeeper/beamkeeper/node"
)

// FilesSpec names certificates that are there already: OptFile, or the three others.
type FilesSpec struct {
	CAFile, CertFile, KeyFile string // PEM
	PasswordFile              string // of an encrypted key; with OptFile its password option is used otherwise
	OptFile                   string // an ssl_dist_optfile
}

// Files is the Source of a node whose certificate somebody else looks after. Changed files are used from the next
// link on; as long as they do not fit together those before are.
//
// A peer's certificate must be for the peer's host, unless the OptFile has {server_name_indication, disable} for
// clients. A certificate of ours of another host's Authority must be for the peer's whole name.
type Files struct {
	spec FilesSpec
	pair loaded[filesPair]
}

// filesPair is an identity for each Role.
type filesPair struct {
	identity    [2]*Identity
	noHostCheck bool
}

// OpenFiles reads the files once, to say at the start what is wrong with them.
func OpenFiles(spec FilesSpec) (*Files, error) {
	f := &Files{spec: spec}
	if _, err := f.pair.current(f.load); err != nil {
		return nil, err
	}
	return f, nil
}

// Identity gives the certificates for one side.
func (f *Files) Identity(r Role) (*Identity, error) {
	p, err := f.pair.current(f.load)
	if err != nil {
		return nil, err
	}
	return p.identity[r], nil
}

// Check compares the host names.
func (f *Files) Check(leaf *x509.Certificate, peer node.Name) error {
	if peer == (node.Name{}) {
		return nil
	}
	p, err := f.pair.current(f.load)
	if err != nil {
		return err
	}
	if p.noHostCheck && len(nodeNames(leaf)) == 0 {
		return nil
	}
	return checkNames(leaf, peer)
}

// Problem tells why files that have changed are not used, nil when they are.
func (f *Files) Problem() error {
	f.pair.current(f.load) // its error is kept
	return f.pair.problem()
}

func (f *Files) load() (*filesPair, []string, error) {
	server := sideOptions{certFile: f.spec.CertFile, keyFile: f.spec.KeyFile, caFile: f.spec.CAFile}
	client := server
	var read []string
	if f.spec.OptFile != "" {
		read = append(read, f.spec.OptFile)
		b, err := readFile(f.spec.OptFile)
		if err != nil {
			return nil, read, fmt.Errorf("tlsdist: %w", err)
		}
		if server, client, err = parseOptFile(f.spec.OptFile, b); err != nil {
			return nil, read, err
		}
	}
	if f.spec.PasswordFile != "" {
		read = append(read, f.spec.PasswordFile)
		b, err := readPrivate(f.spec.PasswordFile)
		if err != nil {
			return nil, read, fmt.Errorf("tlsdist: password of the key: %w", err)
		}
		server.password = string(bytes.TrimRight(b, "\r\n"))
		client.password = server.password
	}
	p := &filesPair{noHostCheck: client.noHostCheck}
	for role, s := range []sideOptions{Server: server, Client: client} {
		read = append(read, s.certFile, s.keyFile, s.caFile)
		id, err := loadIdentity(s.certFile, s.keyFile, s.caFile, s.password)
		if err != nil {
			return nil, read, err
		}
		id.MinVersion, id.MaxVersion = s.min, s.max
		p.identity[role] = id
	}
	return p, read, nil
}
