package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

func (c *cli) certCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert VERB",
		Short: "Certificates of the distribution over TLS",
		Long: "Looks after the certificates of node.tls, in the files themselves: no daemon needs to run, and one that runs takes\n" +
			"every change into account at once.",
	}
	group(cmd)
	cmd.AddCommand(c.certListCommand(), c.certShowCommand(), c.certIssueCommand(), c.certRotateCommand(), c.certExportCommand(), c.certRetireCommand())
	return cmd
}

// certificateJSON is a certificate as --json shows it.
type certificateJSON struct {
	Node        string   `json:"node"` // "" for one that is not bound to a node
	Hosts       []string `json:"hosts"`
	Serial      string   `json:"serial"`
	Fingerprint string   `json:"fingerprint_sha256"`
	NotBefore   api.Time `json:"not_before"`
	ExpiresAt   api.Time `json:"expires_at"`
	RenewAt     api.Time `json:"renew_at"` // null when nobody renews it
	File        string   `json:"file"`
	OptFile     string   `json:"optfile,omitempty"`
	CAFile      string   `json:"ca_file,omitempty"`
}

func newCertificateJSON(c tlsdist.Certificate, renewed bool) certificateJSON {
	j := certificateJSON{
		Node: c.Node.String(), Hosts: c.Hosts, Serial: c.Serial, Fingerprint: c.Fingerprint, File: c.PEMFile, OptFile: c.OptFile, CAFile: c.CAFile,
		NotBefore: api.Time{Time: c.NotBefore.UTC()}, ExpiresAt: api.Time{Time: c.NotAfter.UTC()},
	}
	if j.Hosts == nil {
		j.Hosts = []string{}
	}
	if renewed {
		j.RenewAt = api.Time{Time: c.RenewAt().UTC()}
	}
	return j
}

func (c *cli) certListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "Whose certificates there are, and until when", Args: arguments()}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		list, err := c.certificates()
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.out, list)
		}
		t := newTable(c.out)
		t.row("NODE", "HOSTS", "EXPIRES", "IN", "RENEWED", "FINGERPRINT")
		for _, j := range list {
			t.row(printable(or(j.Node, "-")), printable(strings.Join(j.Hosts, ",")), stamp(j.ExpiresAt), until(j.ExpiresAt), stamp(j.RenewAt), j.Fingerprint[:16])
		}
		return t.flush()
	}
	return cmd
}

func until(t api.Time) string {
	if d := time.Until(t.Time); d > 0 {
		return duration(d)
	}
	return "expired"
}

// certificates are those that the configuration has.
func (c *cli) certificates() ([]certificateJSON, error) {
	cfg, _, err := c.mustConfig()
	if err != nil {
		return nil, err
	}
	list := []certificateJSON{}
	if cfg.Node.TLS.Mode == tlsFiles {
		f, err := tlsdist.OpenFiles(filesSpec(cfg))
		if err != nil {
			return nil, tlsError(err)
		}
		id, err := f.Identity(tlsdist.Server)
		if err != nil {
			return nil, tlsError(err)
		}
		j := newCertificateJSON(tlsdist.Describe(id.Certificate.Leaf), false)
		j.File, j.CAFile, j.OptFile = cfg.Node.TLS.CertFile, cfg.Node.TLS.CAFile, cfg.Node.TLS.OptFile
		return append(list, j), nil
	}
	a, _, err := c.authority()
	if err != nil {
		return nil, err
	}
	certs, err := a.List()
	if err != nil {
		return nil, tlsError(err)
	}
	for _, cert := range certs {
		list = append(list, newCertificateJSON(cert, true))
	}
	return list, nil
}

// authority opens the one of the configuration.
func (c *cli) authority() (*tlsdist.Authority, *config.Config, error) {
	cfg, _, err := c.mustConfig()
	if err != nil {
		return nil, nil, err
	}
	if mode := cfg.Node.TLS.Mode; mode != tlsOwnCA {
		return nil, nil, &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("node.tls.mode is %s, so that there is no authority of our own", mode),
			Hint: "set node.tls.mode to own_ca"}
	}
	a, err := tlsdist.OpenAuthority(tlsDir(cfg), tlsdist.Options{})
	if err != nil {
		return nil, nil, tlsError(err)
	}
	return a, cfg, nil
}

// certNode reads NAME@HOST, or NAME for a node on the daemon's host.
func certNode(cfg *config.Config, arg string) (node.Name, error) {
	if !strings.Contains(arg, "@") {
		self, err := nodeName(cfg)
		if err != nil {
			return node.Name{}, err
		}
		arg += "@" + self.Host
	}
	name, err := node.ParseName(arg)
	if err != nil {
		return node.Name{}, api.Errorf(api.CodeUsage, "%q is not the name of a node", arg)
	}
	return name, nil
}

func (c *cli) certShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show NODE", Short: "One certificate: names, times, fingerprint, files; ca for the authority's", Args: arguments("NODE")}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		a, cfg, err := c.authority()
		if err != nil {
			return err
		}
		if args[0] == "ca" {
			ca := newCertificateJSON(tlsdist.Describe(a.Cert()), false)
			ca.File = a.CertFile()
			return c.printCertificate(ca, *asJSON)
		}
		name, err := certNode(cfg, args[0])
		if err != nil {
			return err
		}
		cert, err := a.Find(name)
		if err != nil {
			return tlsError(err)
		}
		return c.printCertificate(newCertificateJSON(cert, true), *asJSON)
	}
	return cmd
}

func (c *cli) printCertificate(j certificateJSON, asJSON bool) error {
	if asJSON {
		return printJSON(c.out, j)
	}
	t := newTable(c.out)
	for _, r := range [][2]string{
		{"node", j.Node}, {"hosts", strings.Join(j.Hosts, ", ")}, {"valid from", stamp(j.NotBefore)}, {"expires", stamp(j.ExpiresAt) + " (" + until(j.ExpiresAt) + ")"},
		{"renewed", strings.TrimPrefix(stamp(j.RenewAt), "-")}, {"serial", j.Serial}, {"fingerprint", j.Fingerprint},
		{"file", j.File}, {"optfile", j.OptFile}, {"ca", j.CAFile},
	} {
		if r[1] != "" {
			t.row(r[0], printable(r[1]))
		}
	}
	return t.flush()
}

func (c *cli) certIssueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "issue NODE",
		Short: "Make a certificate for a node besides the instances, such as observer@HOST",
		Long: "Makes a certificate for a node that is no instance, and says how to start it. The daemon renews it as long as it is\n" +
			"not retired. Names in node.allow may connect to the daemon.",
		Args: arguments("NODE"),
	}
	asJSON := jsonFlag(cmd)
	user := cmd.Flags().String("user", "", "OS user who is to own its files; default: you")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		a, cfg, err := c.authority()
		if err != nil {
			return err
		}
		name, err := certNode(cfg, args[0])
		if err != nil {
			return err
		}
		var owner *tlsdist.Owner
		if *user != "" {
			account, err := process.LookupAccount(*user)
			if err != nil {
				return api.Errorf(api.CodeNotFound, "%v", err)
			}
			owner = &tlsdist.Owner{UID: int(account.UID), GID: int(account.GID)}
		}
		cert, err := a.Issue(name, owner)
		if err != nil {
			return tlsError(err)
		}
		if err := c.printCertificate(newCertificateJSON(cert, true), *asJSON); err != nil || *asJSON {
			return err
		}
		flag := "-sname"
		if name.Domain() == node.LongNames {
			flag = "-name"
		}
		erlArgs, err := tlsdist.ErlArgs(cert.OptFile)
		if err != nil {
			return tlsError(err)
		}
		fmt.Fprintf(c.out, "\nStart it with: erl %s %s -hidden %s\n", flag, name, erlArgs)
		return nil
	}
	return cmd
}

func (c *cli) certRotateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate [NODE…]",
		Short: "Make new keys and certificates now; of all nodes when none is named",
		Long: "Makes new keys and certificates now rather than when a third of their life is left. Links stay up; nodes show the\n" +
			"new certificate with their next link, a BEAM at most two minutes later. The one before stays good until the next time.\n" +
			"With --ca the authority itself is replaced: the new one is trusted now; the running daemon has it sign all certificates\n" +
			"anew some minutes later, and trusts the old one no more a week after that.",
	}
	asJSON := jsonFlag(cmd)
	ca := cmd.Flags().Bool("ca", false, "replace the authority")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if *ca && len(args) > 0 {
			return api.Errorf(api.CodeUsage, "--ca is for all nodes")
		}
		a, cfg, err := c.authority()
		if err != nil {
			return err
		}
		if *ca {
			return c.rotateAuthority(a, *asJSON)
		}
		var names []node.Name
		for _, arg := range args {
			name, err := certNode(cfg, arg)
			if err != nil {
				return err
			}
			if _, err := a.Find(name); err != nil {
				return tlsError(err)
			}
			names = append(names, name)
		}
		done := []certificateJSON{}
		rotated, err := a.Rotate(names...)
		for _, cert := range rotated {
			done = append(done, newCertificateJSON(cert, true))
			if !*asJSON {
				fmt.Fprintf(c.out, "%s until %s\n", cert.Node, stamp(api.Time{Time: cert.NotAfter}))
			}
		}
		if err != nil {
			return tlsError(err)
		}
		if *asJSON {
			return printJSON(c.out, done)
		}
		return nil
	}
	return cmd
}

func (c *cli) rotateAuthority(a *tlsdist.Authority, asJSON bool) error {
	r, err := a.StartRollover()
	if errors.Is(err, tlsdist.ErrRollover) {
		if r, err = a.Rollover(); err == nil {
			return api.Errorf(api.CodeRefused, "the authority is being replaced already; the next step is due at %s", stamp(api.Time{Time: r.Until}))
		}
	}
	if err != nil {
		return tlsError(err)
	}
	if asJSON {
		return printJSON(c.out, map[string]any{"signs_after": api.Time{Time: r.Until}, "ca_file": a.CertFile()})
	}
	fmt.Fprintf(c.out, "%s holds the new authority beside the old one.\nThe daemon has it sign after %s. Copies on other hosts: export them again, now and then.\n",
		a.CertFile(), stamp(api.Time{Time: r.Until}))
	return nil
}

func (c *cli) certExportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [NODE]",
		Short: "The authority's certificate on stdout, or the files of a node in a folder",
		Long: "Without NODE the authority's certificate is written to stdout. With NODE and --dir a copy of what the node needs is\n" +
			"put into a folder, for another host: node.pem with its private key, ca.crt, inet_tls.conf. Copies are not renewed.",
		Args: arguments("[NODE]"),
	}
	dir := cmd.Flags().String("dir", "", "folder for the files of NODE")
	at := cmd.Flags().String("at", "", "where the files will be on the other host; default: the same folder")
	cobra.CheckErr(cmd.MarkFlagDirname("dir"))
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if (len(args) == 1) != (*dir != "") {
			return api.Errorf(api.CodeUsage, "NODE and --dir go together")
		}
		a, cfg, err := c.authority()
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return pem.Encode(c.out, certBlock(a.Cert()))
		}
		name, err := certNode(cfg, args[0])
		if err != nil {
			return err
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		where := or(*at, abs)
		erlArgs, err := tlsdist.ErlArgs(filepath.Join(where, "inet_tls.conf"))
		if err != nil {
			return tlsError(err)
		}
		if err := a.Export(name, abs, where); err != nil {
			return tlsError(err)
		}
		fmt.Fprintf(c.out, "%s: node.pem, ca.crt, inet_tls.conf\nThe node's arguments: %s\n", abs, erlArgs)
		return nil
	}
	return cmd
}

func certBlock(c *x509.Certificate) *pem.Block { return &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw} }

func (c *cli) certRetireCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retire NODE",
		Short: "Refuse a node's certificates from now on, though they have not expired",
		Long: "Takes a node off the record and removes its files: the daemon refuses its certificates from now on. Instances are\n" +
			"retired by themselves when they are gone. BEAMs know no record: among themselves a certificate is good until it expires.",
		Args: arguments("NODE"),
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		a, cfg, err := c.authority()
		if err != nil {
			return err
		}
		name, err := certNode(cfg, args[0])
		if err != nil {
			return err
		}
		if self, err := nodeName(cfg); err == nil && name == self {
			return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s is the daemon itself", name), Hint: `make it a new one with "beamkeeper cert rotate ` + name.String() + `"`}
		}
		_, err = a.Find(name)
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return tlsError(err)
		}
		if err := a.Retire(name); err != nil {
			return tlsError(err)
		}
		fmt.Fprintf(c.out, "%s is retired\n", name)
		return nil
	}
	return cmd
}
