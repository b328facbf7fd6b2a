package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/node"
)

const (
	epmdPort      = 4369
	epmdLog       = "epmd.log"      // in var_path
	epmdPatience  = 5 * time.Second // for a port mapper that was started to listen
	epmdDialLimit = time.Second
)

func (c *cli) epmdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "epmd",
		Short: "A port mapper, for hosts without Erlang's epmd",
		Long: "Runs a port mapper in the foreground. It does what the epmd of Erlang/OTP does, listens on this host only unless told\n" +
			"otherwise, and never obeys those who want it to forget a node. It ends with SIGTERM, or with \"epmd -kill\" when no\n" +
			"node is registered. $ERL_EPMD_PORT and $ERL_EPMD_ADDRESS mean what they mean to epmd.",
		Args: arguments(),
	}
	port := cmd.Flags().Int("port", 0, "port (default: $ERL_EPMD_PORT, else 4369)")
	addresses := cmd.Flags().StringSlice("address", nil, "IP addresses to listen on besides 127.0.0.1 and ::1 (default: $ERL_EPMD_ADDRESS)")
	names := cmd.Flags().Int("max-names", node.DefaultEPMDNames, "nodes that can be registered at one time")
	format := cmd.Flags().String("log-format", "auto", "text, json, or auto: text on a terminal")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"auto", "text", "json"}, noFiles)))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log, err := c.logger(*format, "info")
		if err != nil {
			return err
		}
		if *names < 1 {
			return api.Errorf(api.CodeUsage, "--max-names %d: it must be 1 at least", *names)
		}
		list := *addresses
		if !cmd.Flags().Changed("address") {
			list = strings.FieldsFunc(c.getenv("ERL_EPMD_ADDRESS"), func(r rune) bool { return r == ',' || r == ' ' })
		}
		if !cmd.Flags().Changed("port") {
			*port = epmdPortOf(c.getenv)
		}
		listeners, err := epmdListen(*port, list)
		if err != nil {
			return err
		}
		for _, l := range listeners {
			log.Info("listening", "addr", l.Addr().String())
		}
		signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE) // it outlives the terminal and the daemon that started it
		return (&node.EPMDServer{MaxNames: *names, Log: log}).Serve(cmd.Context(), listeners...)
	}
	return cmd
}

func epmdPortOf(getenv func(string) string) int {
	if n, err := strconv.Atoi(getenv("ERL_EPMD_PORT")); err == nil {
		return n
	}
	return epmdPort
}

// epmdListen listens on loopback and on the addresses given. A host without IPv6 has no ::1, which is no error; neither
// is it when the machine's own name stands for another loopback address, as on Debian, that cannot be listened on.
func epmdListen(port int, addresses []string) (_ []net.Listener, err error) {
	if port < 0 || port > 65535 {
		return nil, api.Errorf(api.CodeUsage, "%d is no port", port)
	}
	var listeners []net.Listener
	defer func() {
		if err != nil {
			for _, l := range listeners {
				_ = l.Close() // the error is the one to tell
			}
		}
	}()
	seen := make(map[netip.Addr]bool)
	listen := func(ip netip.Addr) error {
		if seen[ip] {
			return nil
		}
		seen[ip] = true
		l, err := net.Listen("tcp", netip.AddrPortFrom(ip, uint16(port)).String())
		if err == nil {
			listeners = append(listeners, l)
		}
		return err
	}
	if err := listen(netip.AddrFrom4([4]byte{127, 0, 0, 1})); err != nil {
		e := &api.Error{Code: api.CodeFailed, Message: fmt.Sprintf("cannot listen on port %d: %v", port, err), Err: err}
		if errors.Is(err, syscall.EADDRINUSE) {
			e.Code, e.Hint = api.CodeRefused, `another port mapper has it, see "beamkeeper doctor dist"`
		}
		return nil, e
	}
	if port == 0 {
		port = listeners[0].Addr().(*net.TCPAddr).Port
	}
	for _, text := range addresses {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return nil, api.Errorf(api.CodeUsage, "--address %q is no IP address", text)
		}
		if err := listen(ip.Unmap()); err != nil {
			return nil, err
		}
	}
	for _, ip := range append(ownLoopback(), netip.IPv6Loopback()) {
		_ = listen(ip) // see above
	}
	return listeners, nil
}

// ownLoopback gives the loopback addresses that the machine's name stands for: other nodes ask there.
func ownLoopback() []netip.Addr {
	host, err := os.Hostname()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), epmdDialLimit)
	defer cancel()
	all, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", host) // a name that is not known stands for nothing
	var own []netip.Addr
	for _, ip := range all {
		if ip = ip.Unmap(); ip.IsLoopback() {
			own = append(own, ip)
		}
	}
	return own
}

// ensureEPMD starts a port mapper when none listens and the configuration allows it. It is a process of its own, which
// goes on when the daemon ends. That there is none is no reason not to start: the node registers when one comes. It
// returns the OS pid of the one started, 0 for none.
func ensureEPMD(ctx context.Context, cfg *config.Config, getenv func(string) string, log *slog.Logger) int {
	addr := cfg.Node.EPMDAddress(getenv)
	if !cfg.Node.StartEPMD || listens(ctx, addr) {
		return 0
	}
	pid, err := startEPMD(ctx, addr, filepath.Join(cfg.VarPath, epmdLog))
	if err != nil {
		log.Warn("no port mapper listens, and none could be started", "addr", addr, "err", err)
		return 0
	}
	log.Info("port mapper started", "addr", addr, "os_pid", pid)
	return pid
}

func listens(ctx context.Context, addr string) bool {
	d := net.Dialer{Timeout: epmdDialLimit}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	_ = conn.Close() // it was only asked whether somebody listens
	return true
}

// startEPMD starts this program's epmd in a session of its own and waits until it listens. It inherits nothing of the
// daemon's environment.
func startEPMD(ctx context.Context, addr, logFile string) (pid int, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	ip, err := netip.ParseAddr(host)
	if host == "localhost" {
		ip, err = netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	if err != nil || !ip.IsLoopback() {
		return 0, fmt.Errorf("%s is not on this host", addr)
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	cmd := exec.Command(self, "epmd", "--port", port, "--address", ip.String(), "--log-format", "json")
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // as long as we are there, it leaves no zombie
	for deadline := time.Now().Add(epmdPatience); ; {
		if listens(ctx, addr) {
			return cmd.Process.Pid, nil
		}
		select {
		case err := <-ended:
			if listens(ctx, addr) { // another one was quicker
				return 0, nil
			}
			return 0, fmt.Errorf("it ended at once (%v); see %s", err, logFile)
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("it does not listen after %s; see %s", epmdPatience, logFile)
		}
	}
}
