package process

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// Account is an OS user that an instance runs as.
type Account struct {
	Name   string
	Home   string
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary
}

// LookupAccount finds an OS user by name or number.
func LookupAccount(name string) (Account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if _, numeric := strconv.ParseUint(name, 10, 32); numeric == nil {
			u, err = user.LookupId(name)
		}
	}
	if err != nil {
		return Account{}, fmt.Errorf("process: OS user %q: %w (make it with: useradd --system %s)", name, err, name)
	}
	a := Account{Name: u.Username, Home: u.HomeDir}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return Account{}, fmt.Errorf("process: OS user %q: uid: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return Account{}, fmt.Errorf("process: OS user %q: gid: %w", name, err)
	}
	a.UID, a.GID = uint32(uid), uint32(gid)
	ids, err := u.GroupIds()
	if err != nil {
		return Account{}, fmt.Errorf("process: OS user %q: groups: %w", name, err)
	}
	for _, id := range ids {
		g, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return Account{}, fmt.Errorf("process: OS user %q: group: %w", name, err)
		}
		a.Groups = append(a.Groups, uint32(g))
	}
	return a, nil
}

// LookupGroup finds the number of an OS group by name or number.
func LookupGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		if _, numeric := strconv.ParseUint(name, 10, 32); numeric == nil {
			g, err = user.LookupGroupId(name)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("process: OS group %q: %w (make it with: groupadd --system %s)", name, err, name)
	}
	gid, err := strconv.ParseUint(g.Gid, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("process: OS group %q: gid: %w", name, err)
	}
	return int(gid), nil
}

// inGroup makes a group the account's primary one.
func (a Account) inGroup(name string) (Account, error) {
	if name == "" {
		return a, nil
	}
	gid, err := LookupGroup(name)
	if err != nil {
		return a, err
	}
	if a.GID = uint32(gid); !slices.Contains(a.Groups, a.GID) {
		a.Groups = append(slices.Clone(a.Groups), a.GID)
	}
	return a, nil
}

// credential returns nil when the account is the daemon's own, which needs no right to change it.
func (a Account) credential() (*syscall.Credential, error) {
	if int(a.UID) == os.Geteuid() && int(a.GID) == os.Getegid() {
		return nil, nil
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("process: run as OS user %q: only a daemon that runs as root can do that, this one is uid %d: "+
			"run it as root or leave out the user", a.Name, os.Geteuid())
	}
	return &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: a.Groups}, nil
}

// mayPass says whether the mode of a directory lets the account through it.
func (a Account) mayPass(st syscall.Stat_t) bool {
	switch {
	case a.UID == 0:
		return true
	case st.Uid == a.UID:
		return st.Mode&0o100 != 0
	case st.Gid == a.GID || slices.Contains(a.Groups, st.Gid):
		return st.Mode&0o010 != 0
	}
	return st.Mode&0o001 != 0
}

// Credential says what a program started by us needs to run as the OS user name; nil for the daemon's own and for
// an empty name.
func Credential(name string) (*syscall.Credential, error) {
	if name == "" {
		return nil, nil
	}
	a, err := LookupAccount(name)
	if err != nil {
		return nil, err
	}
	return a.credential()
}
