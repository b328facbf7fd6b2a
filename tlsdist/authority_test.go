package tlsdist_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

func mode(t *testing.T, file string) fs.FileMode {
	t.Helper()
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode().Perm()
}

func TestAuthority_FilesAndModes(t *testing.T) {
	t.Parallel()
	a := authority(t, tlsdist.Options{})
	c := ensure(t, a, "shop-abc123@localhost")
	for file, want := range map[string]fs.FileMode{
		filepath.Join(a.Dir(), "ca.key"): 0o400, a.CertFile(): 0o444, c.PEMFile: 0o400, c.OptFile: 0o444,
	} {
		if got := mode(t, file); got != want {
			t.Errorf("%s has mode %04o, want %04o", file, got, want)
		}
	}
	if err := a.Cert().CheckSignatureFrom(a.Cert()); err != nil || !a.Cert().IsCA {
		t.Errorf("the authority's certificate: %v", err)
	}
	if time.Until(c.NotAfter) > tlsdist.DefaultLifetime || len(c.Hosts) != 1 || c.Hosts[0] != "localhost" || len(c.Fingerprint) != 64 {
		t.Errorf("certificate = %+v", c)
	}
}

func TestAuthority_OpensWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	if tlsdist.AuthorityExists(dir) {
		t.Fatal("AuthorityExists of nothing")
	}
	var authorities [8]*tlsdist.Authority
	var wg sync.WaitGroup
	for i := range authorities { // at one time, as daemon and command line may
		wg.Go(func() {
			a, err := tlsdist.OpenAuthority(dir, tlsdist.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			authorities[i] = a
			if _, err := a.Ensure(node.Name{Alive: fmt.Sprint("n", i), Host: "localhost"}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, a := range authorities[1:] {
		if !a.Cert().Equal(authorities[0].Cert()) {
			t.Fatal("two authorities were made in one folder")
		}
	}
	list, err := authorities[0].List()
	if err != nil || len(list) != len(authorities) || list[0].Node.Alive != "n0" {
		t.Errorf("List = %v, %v", list, err)
	}
	if !tlsdist.AuthorityExists(dir) {
		t.Error("AuthorityExists = false")
	}
}

func TestAuthority_RefusesDamage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(dir string) error
		want   error  // or
		text   string // a part of the error
	}{
		"key that others may read": {func(dir string) error { return os.Chmod(filepath.Join(dir, "ca.key"), 0o440) }, tlsdist.ErrKeyMode, "0440"},
		"key is gone":              {func(dir string) error { return os.Remove(filepath.Join(dir, "ca.key")) }, nil, "ca.key is missing"},
		"key of another": {func(dir string) error {
			b, err := os.ReadFile("testdata/keys/pkcs8.pem")
			if err != nil {
				return err
			}
			return errors.Join(os.Remove(filepath.Join(dir, "ca.key")), os.WriteFile(filepath.Join(dir, "ca.key"), b, 0o400))
		}, nil, "does not belong"},
		"key is nonsense": {func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "ca.key")), os.WriteFile(filepath.Join(dir, "ca.key"), []byte("x"), 0o400))
		}, tlsdist.ErrKeyFormat, ""},
		"certificate is nonsense": {func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "ca.crt")), os.WriteFile(filepath.Join(dir, "ca.crt"), []byte("x"), 0o444))
		}, nil, "no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := authority(t, tlsdist.Options{}).Dir()
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			_, err := tlsdist.OpenAuthority(dir, tlsdist.Options{})
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("OpenAuthority = %v, want %v %q", err, c.want, c.text)
			}
		})
	}
}

// A key without a certificate is what is left when making an authority was cut off: nothing was issued yet.
func TestAuthority_FinishesWhatWasCutOff(t *testing.T) {
	t.Parallel()
	dir := authority(t, tlsdist.Options{}).Dir()
	if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	a, err := tlsdist.OpenAuthority(dir, tlsdist.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ensure(t, a, "n@localhost")
}

func TestAuthority_EnsureKeepsAndRenews(t *testing.T) {
	t.Parallel()
	at := &clock{now: time.Now()}
	a := authority(t, tlsdist.Options{Time: at.Now, Lifetime: 3 * time.Hour})
	first := ensure(t, a, "n@localhost")
	if err := os.WriteFile(first.OptFile+".x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(first.OptFile+".x", first.OptFile); err != nil { // somebody emptied it
		t.Fatal(err)
	}
	if again := ensure(t, a, "n@localhost"); again.Serial != first.Serial {
		t.Error("a young certificate was replaced")
	}
	if b, err := os.ReadFile(first.OptFile); err != nil || !strings.Contains(string(b), "verify_peer") {
		t.Errorf("the option file was not written anew: %q, %v", b, err)
	}
	for _, text := range []string{"", "x"} { // cut off before it was written, and damaged
		if err := errors.Join(os.Remove(first.PEMFile), os.WriteFile(first.PEMFile+".x", []byte(text), 0o400), os.Rename(first.PEMFile+".x", first.PEMFile)); err != nil {
			t.Fatal(err)
		}
		whole := ensure(t, a, "n@localhost")
		if b, err := os.ReadFile(first.PEMFile); err != nil || !strings.Contains(string(b), "PRIVATE KEY") || whole.Serial == first.Serial {
			t.Errorf("a certificate without key was kept: %v", err)
		}
	}
	before := ensure(t, a, "n@localhost")
	at.set(before.RenewAt())
	if late := ensure(t, a, "n@localhost"); late.Serial == before.Serial {
		t.Error("an old certificate was kept")
	}
}

func TestAuthority_RenewDoesNotRevive(t *testing.T) {
	t.Parallel()
	at := &clock{now: time.Now()}
	a := authority(t, tlsdist.Options{Time: at.Now})
	gone, stays := ensure(t, a, "gone@localhost"), ensure(t, a, "stays@localhost")
	if err := a.Retire(gone.Node); err != nil {
		t.Fatal(err)
	}
	if err := a.Retire(gone.Node); err != nil {
		t.Errorf("Retire twice: %v", err)
	}
	at.set(stays.RenewAt())
	renewed, err := a.Renew()
	if err != nil || len(renewed) != 1 || renewed[0].Node != stays.Node {
		t.Errorf("Renew = %+v, %v", renewed, err)
	}
	if _, err := a.Find(gone.Node); !errors.Is(err, tlsdist.ErrUnknownNode) {
		t.Errorf("Find = %v", err)
	}
}

func TestAuthority_HostsAndNames(t *testing.T) {
	t.Parallel()
	a := authority(t, tlsdist.Options{})
	for _, host := range []string{"127.0.0.1", "::1", "", "höst", strings.Repeat("x", 254)} {
		if err := tlsdist.CheckHost(host); !errors.Is(err, tlsdist.ErrHost) {
			t.Errorf("CheckHost(%q) = %v, want ErrHost", host, err)
		}
	}
	if _, err := a.Ensure(node.Name{Alive: "n", Host: "127.0.0.1"}, nil); !errors.Is(err, tlsdist.ErrHost) {
		t.Errorf("Ensure for an IP address = %v", err)
	}
	for _, alive := range []string{"n", "Größe", "a.b+c%2F", "..", strings.Repeat("long", 30)} {
		name := node.Name{Alive: alive, Host: "my_host.example.com"}
		c, err := a.Ensure(name, nil)
		if err != nil {
			t.Errorf("Ensure(%q): %v", name, err)
			continue
		}
		if filepath.Dir(filepath.Dir(c.PEMFile)) != filepath.Join(a.Dir(), "nodes") {
			t.Errorf("the files of %q are at %s", name, c.PEMFile)
		}
		id, err := a.Source(name).Identity(tlsdist.Server)
		if err != nil {
			t.Fatal(err)
		}
		source := a.Source(node.Name{Alive: "other", Host: name.Host})
		if err := source.Check(id.Certificate.Leaf, name); err != nil {
			t.Errorf("Check(%q): %v", name, err)
		}
		for _, wrong := range []node.Name{{Alive: alive + "x", Host: name.Host}, {Alive: alive, Host: "other.example.com"}, {Host: name.Host}} {
			if err := source.Check(id.Certificate.Leaf, wrong); !errors.Is(err, tlsdist.ErrNameMismatch) {
				t.Errorf("Check of %q as %q = %v, want ErrNameMismatch", name, wrong, err)
			}
		}
	}
	if list, err := a.List(); err != nil || len(list) != 5 {
		t.Errorf("List = %v, %v", list, err)
	}
}

// Root issues a certificate beside a daemon that runs as another user, who must be able to renew it.
func TestAuthority_FoldersBelongToTheDaemon(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	a := authority(t, tlsdist.Options{})
	if err := os.Chown(a.Dir(), 12345, 54321); err != nil {
		t.Fatal(err)
	}
	c := ensure(t, a, "n@localhost")
	if uid, gid := owner(t, filepath.Dir(c.PEMFile)); uid != 12345 || gid != 54321 {
		t.Errorf("owner of the folder = %d:%d", uid, gid)
	}
}

func TestAuthority_GivesFilesToTheOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	a := authority(t, tlsdist.Options{})
	name := node.Name{Alive: "n", Host: "localhost"}
	c, err := a.Ensure(name, &tlsdist.Owner{UID: 12345, GID: 54321})
	if err != nil {
		t.Fatal(err)
	}
	if uid, gid := owner(t, c.PEMFile); uid != 12345 || gid != 54321 {
		t.Errorf("owner = %d:%d", uid, gid)
	}
	if _, err := a.Issue(name, nil); err != nil { // as Renew does
		t.Fatal(err)
	}
	if uid, gid := owner(t, c.PEMFile); uid != 12345 || gid != 54321 {
		t.Errorf("owner after a renewal = %d:%d", uid, gid)
	}
	if _, err := a.Ensure(name, &tlsdist.Owner{UID: 12346, GID: 54321}); err != nil { // the app runs as another user now
		t.Fatal(err)
	}
	if uid, _ := owner(t, c.PEMFile); uid != 12346 {
		t.Errorf("owner after a change of the user = %d", uid)
	}
	if uid, _ := owner(t, filepath.Join(a.Dir(), "ca.key")); uid != 0 {
		t.Errorf("owner of the authority's key = %d", uid)
	}
}
