package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/actors/bridge"
	"github.com/beamkeeper/beamkeeper/actors/erlapi"
	"github.com/beamkeeper/beamkeeper/actors/observer"
	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
)

// startActorSystem starts what the actors run on, and has the node show it to Observer and its friends.
func (d *daemon) startActorSystem(ctx context.Context, log *slog.Logger) (err error) {
	d.ergo, err = bridge.Start(ctx, bridge.Options{Node: d.node, Shield: true, Logger: log.With("part", "actors"), LogLevel: slog.LevelWarn, MayEnd: d.mayStop})
	if err != nil {
		return err
	}
	d.observer = observer.Register(d.node, d.ergo, observer.Options{
		Version: version, Log: log.With("part", "observer"), NetTickTime: d.cfg.Node.NetTickTime,
		Private:   func(peer node.Name) bool { return isInstance(d.live.config(), d.node.Name(), peer) },
		Tables:    stateTables(d.state),
		Listeners: func() []observer.Listener { return controlListeners(d.cfg) },
		Shell:     remoteShell{config: d.live.config},
		Stop: func(peer node.Name) bool {
			if !d.mayStop(peer) {
				return false
			}
			time.AfterFunc(stopAfter, func() { d.end(context.Canceled) })
			return true
		},
	})
	return nil
}

// stopAfter is how long the answer to init:stop has to get to whoever said it.
const stopAfter = 200 * time.Millisecond

// mayStop tells whether node.remote_stop lets a peer end the daemon and its actors.
func (d *daemon) mayStop(peer node.Name) bool {
	cfg := d.live.config()
	return cfg.Node.RemoteStop == "stop" && grantOf(cfg, peer) >= erlapi.Admin && !isInstance(cfg, d.node.Name(), peer)
}

// controlListeners are the sockets of the control API.
func controlListeners(cfg *config.Config) []observer.Listener {
	all := []observer.Listener{{Name: "control socket", Addr: &net.UnixAddr{Name: cfg.Control.Socket, Net: "unix"}}}
	if addr, err := net.ResolveTCPAddr("tcp", cfg.Web.Listen); err == nil && cfg.Web.Listen != "" {
		all = append(all, observer.Listener{Name: "control API", Addr: addr})
	}
	return all
}

// stateTables are the records of the state store, {Key, JSON}.
func stateTables(store *state.Store) []observer.Table {
	table := func(name etf.Atom, read func(*state.Tx, func(key string, record any)) error) observer.Table {
		rows := func() []etf.Tuple {
			var all []etf.Tuple
			err := store.View(func(tx *state.Tx) error {
				return read(tx, func(key string, record any) { all = append(all, etf.Tuple{etf.Binary(key), recordTerm(record)}) })
			})
			if err != nil {
				return nil // the store is closing
			}
			return all
		}
		return observer.Table{
			Name: name,
			Size: func() (n, bytes int) {
				for _, r := range rows() {
					n++
					if b, err := etf.Encode(r); err == nil {
						bytes += len(b)
					}
				}
				return n, bytes
			},
			Rows: func(yield func(etf.Tuple) bool) {
				for _, r := range rows() {
					if !yield(r) {
						return
					}
				}
			},
		}
	}
	const newest = 1000 // deployments and events shown
	return []observer.Table{
		table("beamkeeper_apps", func(tx *state.Tx, row func(string, any)) error {
			apps, err := tx.Apps()
			for _, a := range apps {
				row(a.Name, a)
			}
			return err
		}),
		table("beamkeeper_instances", func(tx *state.Tx, row func(string, any)) error {
			all, err := tx.Instances("")
			for _, i := range all {
				row(i.Name, i)
			}
			return err
		}),
		table("beamkeeper_deployments", func(tx *state.Tx, row func(string, any)) error {
			all, err := tx.Deployments("", newest)
			for _, x := range all {
				row(x.ID, x)
			}
			return err
		}),
		table("beamkeeper_events", func(tx *state.Tx, row func(string, any)) error {
			since := uint64(0)
			if last := tx.LastEvent(); last > newest {
				since = last - newest
			}
			all, err := tx.Events(since, newest)
			for _, e := range all {
				row(fmt.Sprintf("%010d", e.ID), e)
			}
			return err
		}),
	}
}

// recordTerm is the JSON of a record: the Table Viewer shows a binary as text, but what is inside a map as numbers.
func recordTerm(record any) etf.Term {
	b, err := json.Marshal(record)
	if err != nil {
		return etf.Binary(err.Error())
	}
	return etf.Binary(b)
}

// isInstance tells whether a peer is an instance on this host.
func isInstance(cfg *config.Config, self, peer node.Name) bool {
	app, ok := appOf(peer)
	return ok && peer.Host == self.Host && slices.ContainsFunc(cfg.Applications, func(a config.App) bool { return a.Name == app })
}

// remoteShell runs verbs of the command line for erl -remsh. Nodes that node.allow lets in may look; what changes
// something takes a right of node.grant.
type remoteShell struct{ config func() *config.Config }

// verbRights are the verbs of the shell and what they take.
var verbRights = map[string]erlapi.Right{
	"status": erlapi.None, "history": erlapi.None, "logs": erlapi.None, "events": erlapi.None, "nodes": erlapi.None, "version": erlapi.None,
	"help": erlapi.None, "deployment": erlapi.Deploy, "deploy": erlapi.Deploy, "start": erlapi.Admin, "stop": erlapi.Admin,
	"restart": erlapi.Admin, "scale": erlapi.Admin, "rpc": erlapi.Admin,
}

func (remoteShell) Banner() string {
	return "Beamkeeper " + version + ". A command shell: help lists the verbs, exit leaves, Tab completes."
}

// grantOf is the highest right that node.grant gives to a peer.
func grantOf(cfg *config.Config, peer node.Name) erlapi.Right {
	best := erlapi.None
	for _, g := range cfg.Node.Grant {
		if ok, err := path.Match(g.Nodes, peer.String()); err != nil || !ok {
			continue
		}
		if r, err := erlapi.ParseRight(g.Rights); err == nil {
			best = max(best, r)
		}
	}
	return best
}

// cli is the command line with the verbs of the shell only, on the daemon's own socket.
func (s remoteShell) cli(out io.Writer) (*cli, *cobra.Command) {
	c := newCLI(strings.NewReader(""), out, out, func(string) string { return "" })
	root := c.root()
	for _, cmd := range root.Commands() {
		if _, ok := verbRights[cmd.Name()]; !ok {
			root.RemoveCommand(cmd)
		}
	}
	root.Use, root.Short, root.Long = "beamkeeper VERB", "", "The verbs of this shell. They are those of the command line."
	root.SetOut(out)
	root.SetErr(out)
	for _, name := range []string{"socket", "config"} {
		cobra.CheckErr(root.PersistentFlags().MarkHidden(name)) // refused
	}
	c.socket = s.config().Control.Socket
	return c, root
}

func (s remoteShell) Run(ctx context.Context, peer node.Name, line string, out io.Writer) error {
	words := strings.Fields(line)
	if words[0] == "beamkeeper" && len(words) > 1 {
		words = words[1:]
	}
	c, root := s.cli(out)
	right, known := verbRights[words[0]]
	if known && grantOf(s.config(), peer) < right {
		c.report(api.Errorf(api.CodeDenied, "%s takes the right %q, which node.grant does not give to %s", words[0], right.String(), peer))
		return nil
	}
	for _, w := range words {
		if name, _, _ := strings.Cut(w, "="); name == "--socket" || name == "--config" {
			c.report(api.Errorf(api.CodeDenied, "%s is not for this shell", name))
			return nil
		}
	}
	root.SetArgs(append([]string{"--socket", s.config().Control.Socket}, words...))
	ctx = api.WithCaller(ctx, api.Caller{UID: -1, GID: -1, PID: -1, Via: "erlang", Node: peer.String()})
	if err := root.ExecuteContext(ctx); err != nil {
		c.report(err)
	}
	return nil
}

// Complete asks the command line itself, which knows verbs, flags and, from the daemon, the names of apps and instances.
func (s remoteShell) Complete(line string) []string {
	words := strings.Fields(line)
	if len(words) > 1 && words[0] == "beamkeeper" {
		words = words[1:]
	}
	if len(words) == 0 || strings.HasSuffix(line, " ") {
		words = append(words, "")
	}
	var out bytes.Buffer
	_, root := s.cli(&out)
	root.SetErr(io.Discard)
	root.SetArgs(append([]string{cobra.ShellCompNoDescRequestCmd}, words...))
	if err := root.Execute(); err != nil {
		return nil
	}
	typed := words[len(words)-1]
	var found []string
	for line := range strings.Lines(out.String()) {
		word := strings.TrimSpace(line)
		_, verb := verbRights[word]
		switch {
		case word == "" || word[0] == ':' || !strings.HasPrefix(word, typed): // the last line is for a shell
		case len(words) == 1 && !verb:
		case word == "--socket" || word == "--config": // refused
		default:
			found = append(found, word)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
