package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/beamkeeper/beamkeeper/internal/cgroup"
)

// Errors of Manager.
var (
	// ErrNoManager says that there is no service manager that we may ask.
	ErrNoManager = errors.New("systemd: no service manager")
	// ErrExists says that there is a unit of that name.
	ErrExists = errors.New("systemd: the unit exists")
	// ErrNoUnit says that there is none, or that it has ended.
	ErrNoUnit = errors.New("systemd: no such unit")
	// ErrNoProcess says that a process has ended.
	ErrNoProcess = errors.New("systemd: the process has ended")
)

// Manager is a service manager: the system's, or that of a user. It connects again by itself after it was lost.
type Manager struct {
	user    bool
	version int    // 252
	self    string // the unit that this process is in, "" for none that is a service

	mu   sync.Mutex
	conn *dbus.Conn
}

// Connect connects to the system's manager, as root, or to the user's. Error: ErrNoManager, wrapped.
func Connect(ctx context.Context) (*Manager, error) {
	m := &Manager{user: os.Geteuid() != 0}
	if !m.user && !Running() {
		return nil, ErrNoManager
	}
	conn, err := m.connection()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoManager, err)
	}
	text, err := conn.GetManagerProperty("Version")
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("%w: %w", ErrNoManager, err)
	}
	m.version = majorVersion(text)
	if unit, err := conn.GetUnitNameByPID(ctx, uint32(os.Getpid())); err == nil && strings.HasSuffix(unit, ".service") && !strings.HasPrefix(unit, "user@") {
		m.self = unit
	}
	return m, nil
}

// majorVersion reads "252.38-1~deb12u1", quoted or not.
func majorVersion(text string) int {
	text = strings.Trim(text, `"`)
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(text)
	}
	n, _ := strconv.Atoi(text[:end]) // 0 is older than all
	return n
}

// Version is the manager's, such as 252.
func (m *Manager) Version() int { return m.version }

// Unit is the service that this process is, "" when it is none.
func (m *Manager) Unit() string { return m.self }

// User says whether it is a user's manager.
func (m *Manager) User() bool { return m.user }

// Close ends the connection.
func (m *Manager) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil {
		m.conn.Close()
		m.conn = nil
	}
}

// privateSocket is where the manager itself listens. The bus may be restarted, or missing, and looking for that of a user
// would start one (godbus runs dbus-launch).
func privateSocket(user bool) string {
	if !user {
		return "/run/systemd/private"
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = "/run/user/" + strconv.Itoa(os.Getuid())
	}
	return filepath.Join(dir, "systemd", "private")
}

// connection gives a live connection. It must not end with the context of one call.
func (m *Manager) connection() (*dbus.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil && m.conn.Connected() {
		return m.conn, nil
	}
	if m.conn != nil {
		m.conn.Close()
		m.conn = nil
	}
	conn, err := dbus.NewConnection(func() (*godbus.Conn, error) {
		c, err := godbus.Dial("unix:path=" + privateSocket(m.user))
		if err != nil {
			return nil, err
		}
		if err := c.Auth([]godbus.Auth{godbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
			c.Close()
			return nil, err
		}
		return c, nil // without Hello, which is for the bus
	})
	if err != nil {
		return nil, err
	}
	_ = conn.Subscribe() // to the ends of jobs; the private socket sends them unasked
	m.conn = conn
	return conn, nil
}

// Scope is a transient scope unit.
type Scope struct {
	Name        string // with .scope
	Slice       string // with .slice; made if there is none
	Description string
	PIDs        []int
	Limits      cgroup.Limits
}

// StartScope makes a scope with processes in it, and waits for it.
//
// The scope is gone with its last process. It is ordered before the daemon's unit, hence stopped after it: when the machine
// goes down, the daemon ends its instances first.
func (m *Manager) StartScope(ctx context.Context, s Scope) error {
	conn, err := m.connection()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoManager, err)
	}
	pids := make([]uint32, len(s.PIDs))
	for i, pid := range s.PIDs {
		pids[i] = uint32(pid)
	}
	properties := append([]dbus.Property{
		dbus.PropDescription(s.Description), dbus.PropSlice(s.Slice), dbus.PropPids(pids...),
		property("CollectMode", "inactive-or-failed"),
		property("Delegate", true), // otherwise Attach is refused
	}, limits(s.Limits)...)
	if m.self != "" {
		properties = append(properties, dbus.PropBefore(m.self))
	}
	if m.version >= 253 {
		properties = append(properties, property("OOMPolicy", "continue")) // a port program may be killed alone
	}
	done := make(chan string, 1)
	if _, err := conn.StartTransientUnitContext(ctx, s.Name, "fail", properties, done); err != nil {
		return explain("start "+s.Name, err)
	}
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("systemd: start %s: %s", s.Name, result)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("systemd: start %s: %w", s.Name, ctx.Err())
	}
}

// Attach moves processes into a unit that is there. Errors: ErrNoUnit, ErrNoProcess.
func (m *Manager) Attach(ctx context.Context, unit string, pids ...int) error {
	conn, err := m.connection()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoManager, err)
	}
	var errs []error
	for _, pid := range pids { // one by one: a process that has ended would spoil it for the others
		if err := conn.AttachProcessesToUnit(ctx, unit, "", []uint32{uint32(pid)}); err != nil {
			if err = explain("attach to "+unit, err); !errors.Is(err, ErrNoProcess) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// SetLimits changes the limits of a unit that is there.
func (m *Manager) SetLimits(ctx context.Context, unit string, l cgroup.Limits) error {
	conn, err := m.connection()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoManager, err)
	}
	return explain("limits of "+unit, conn.SetUnitPropertiesContext(ctx, unit, true, limits(l)...))
}

// StopScope ends a scope and what is in it. That there is none is no error.
func (m *Manager) StopScope(ctx context.Context, unit string) error {
	conn, err := m.connection()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoManager, err)
	}
	done := make(chan string, 1)
	if _, err := conn.StopUnitContext(ctx, unit, "replace", done); err != nil {
		if err = explain("stop "+unit, err); errors.Is(err, ErrNoUnit) {
			return nil
		}
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("systemd: stop %s: %w", unit, ctx.Err())
	}
}

// ControlGroup is the folder of the group of a scope, "" when there is none.
func (m *Manager) ControlGroup(ctx context.Context, unit string) string {
	conn, err := m.connection()
	if err != nil {
		return ""
	}
	p, err := conn.GetUnitTypePropertyContext(ctx, unit, "Scope", "ControlGroup")
	if err != nil {
		return ""
	}
	path, _ := p.Value.Value().(string)
	mount, err := cgroup.Mount()
	if err != nil || path == "" {
		return ""
	}
	return filepath.Join(mount, path)
}

// GoingDown says whether the whole system, or the user's session, is being stopped.
func (m *Manager) GoingDown(ctx context.Context) bool {
	conn, err := m.connection()
	if err != nil {
		return false
	}
	state, err := conn.SystemStateContext(ctx)
	return err == nil && strings.Trim(state.Value.String(), `"`) == "stopping"
}

// limits are those of a unit; all are given, so that one that was lifted is.
func limits(l cgroup.Limits) []dbus.Property {
	unlimited := func(n uint64) uint64 {
		if n == 0 {
			return ^uint64(0)
		}
		return n
	}
	cpu := ^uint64(0)
	if l.CPUQuota > 0 {
		cpu = uint64(l.CPUQuota) * 10_000 // µs of processor time per second
	}
	return []dbus.Property{
		property("MemoryAccounting", true), property("TasksAccounting", true), property("CPUAccounting", true),
		property("MemoryMax", unlimited(l.MemoryMax)), property("MemoryHigh", unlimited(l.MemoryHigh)),
		property("CPUQuotaPerSecUSec", cpu), property("TasksMax", unlimited(l.TasksMax)),
	}
}

func property(name string, value any) dbus.Property {
	return dbus.Property{Name: name, Value: godbus.MakeVariant(value)}
}

// explain gives the manager's errors that callers act on a Go name.
func explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	var e godbus.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("systemd: %s: %w", doing, err)
	}
	var kind error
	switch strings.TrimPrefix(strings.TrimPrefix(e.Name, "org.freedesktop."), "DBus.Error.") {
	case "systemd1.UnitExists":
		kind = ErrExists
	case "systemd1.NoSuchUnit", "systemd1.UnitInactive":
		kind = ErrNoUnit
	case "systemd1.NoSuchProcess", "UnixProcessIdUnknown", "System.Error.ESRCH":
		kind = ErrNoProcess
	default:
		if strings.Contains(e.Error(), "No such process") {
			kind = ErrNoProcess
			break
		}
		return fmt.Errorf("systemd: %s: %w", doing, err)
	}
	return fmt.Errorf("%w: %s: %v", kind, doing, err)
}
