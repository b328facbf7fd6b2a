package config

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/window"
)

// check notes what is wrong with settings that are right one by one, or that need more than a type.
// It is called with a Config that may have gaps where the parser found problems.
func (p *parser) check(c *Config) {
	p.checkAdapters(c)
	p.checkNode(&c.Node)
	p.checkWeb(&c.Web)
	for i, g := range c.Control.Grant {
		if (g.User == "") == (g.Group == "") {
			p.at(KindMissing, fmt.Sprintf("control.grant[%d]", i), "one entry for each", "names neither a user nor a group, or both")
		}
	}
	p.checkRelease(&c.Release)
	p.checkNotifications(c.Notifications)
	for i, u := range c.Fleet.ETCDEndpoints {
		if u != "" {
			p.checkURL(fmt.Sprintf("fleet.etcd_endpoints[%d]", i), u, "http", "https")
		}
	}
	// A Unix socket's address has 108 bytes, the last of which is zero.
	if n := len(c.Control.Socket); n > 107 {
		p.at(KindValue, "control.socket", "move it to a folder with a shorter name", "the path has %d bytes, a socket's can have 107", n)
	}
	var hosts []thresholds
	for _, m := range c.Monitoring {
		hosts = append(hosts, thresholds{m.Type, m.Warning, m.Limit})
	}
	p.checkMonitors("monitoring", hosts)
	names := make(map[string]int)
	for i := range c.Applications {
		a, at := &c.Applications[i], fmt.Sprintf("applications[%d]", i)
		if a.Name != "" {
			if first, ok := names[a.Name]; ok {
				p.at(KindDuplicate, at+".name", "give each app its own name", "%q is the name of applications[%d] already", a.Name, first)
			} else {
				names[a.Name] = i
			}
			// The daemon must not be taken for an instance: app-xxxxxx.
			if rest, ok := strings.CutPrefix(c.Node.Name, a.Name+"-"); ok && instanceSuffix.MatchString(rest) {
				p.at(KindClash, "node.name", "", "%q looks like the name of an instance of app %q", c.Node.Name, a.Name)
			}
		}
		p.checkApp(a, at)
	}
	for i := range c.Applications {
		p.checkCluster(c, i)
	}
	p.checkPorts(c)
}

// checkCluster looks at the apps that an app is connected with.
func (p *parser) checkCluster(c *Config, i int) {
	a := &c.Applications[i]
	for j, name := range a.ClusterWith {
		at := fmt.Sprintf("applications[%d].cluster_with[%d]", i, j)
		k := slices.IndexFunc(c.Applications, func(o App) bool { return o.Name == name })
		switch {
		case a.Cluster != "mesh":
			p.at(KindMissing, at, "set cluster: mesh", "app %q is no mesh that could have others in it", a.Name)
			return
		case name == a.Name:
			p.at(KindValue, at, "take it out", "%q is the app itself", name)
		case k < 0:
			p.at(KindValue, at, "name an app of applications", "there is no app %q", name)
		case c.Applications[k].CookieFile != a.CookieFile:
			p.at(KindClash, at, "give both the same cookie_file", "the apps %q and %q have different cookies, and so cannot connect", a.Name, name)
		}
	}
}

var instanceSuffix = regexp.MustCompile(`^[0-9a-z]{6}$`)

// at notes a problem at the place where the setting was written, or the nearest section around it.
func (p *parser) at(k Kind, where, hint, format string, args ...any) {
	q := Problem{Kind: k, Path: where, Message: fmt.Sprintf(format, args...), Hint: hint}
	for s := where; s != ""; {
		if pos, ok := p.origin[s]; ok {
			q.Line, q.Column = pos.line, pos.column
			break
		}
		s = s[:max(strings.LastIndexAny(s, ".["), 0)]
	}
	p.add(q)
}

func (p *parser) checkAdapters(c *Config) {
	p.checkBucket(c)
	p.checkSecrets(c)
	if c.VarPath == "/" {
		p.at(KindValue, "var_path", "", "must not be the root of the file system")
	}
}

func (p *parser) checkNode(n *Node) {
	if n.Visibility == "visible" {
		p.at(KindValue, "node.visibility", "leave it hidden: ping, rpc, monitors and Observer work with hidden nodes; docs/protocol.md says what visible would break",
			"the daemon is not a visible node: it does not speak global")
	}
	p.checkNodeTLS(n)
	if n.Listen != "none" {
		p.checkAddress("node.listen", n.Listen, 0)
	}
	if n.EPMD != "" {
		p.checkAddress("node.epmd", n.EPMD, 1)
	}
	for i, a := range n.Allow {
		if a == "" {
			continue // the parser has said what is wrong with it
		}
		p.checkNodePattern(fmt.Sprintf("node.allow[%d]", i), a)
	}
	for i, g := range n.Grant {
		if g.Nodes != "" {
			p.checkNodePattern(fmt.Sprintf("node.grant[%d].nodes", i), g.Nodes)
		}
	}
}

func (p *parser) checkNodeTLS(n *Node) {
	t := &n.TLS
	if t.Mode != "off" && net.ParseIP(n.Host) != nil {
		p.at(KindClash, "node.host", "give it a name that the host has in DNS or /etc/hosts", "%s is an address, and over TLS a BEAM connects to names only", n.Host)
	}
	if t.Mode != "files" || t.OptFile != "" {
		return
	}
	for _, f := range []struct{ key, value string }{{"ca_file", t.CAFile}, {"cert_file", t.CertFile}, {"key_file", t.KeyFile}} {
		if f.value == "" {
			p.at(KindMissing, "node.tls."+f.key, "give ca_file, cert_file and key_file, or optfile", "missing with mode files")
		}
	}
}

func (p *parser) checkNodePattern(at, pattern string) {
	if _, err := path.Match(pattern, ""); err != nil || strings.Count(pattern, "@") != 1 || strings.ContainsAny(pattern, " /\t\n") {
		p.at(KindValue, at, "", "%q is not a pattern of node names such as observer@*", pattern)
	}
}

func (p *parser) checkWeb(w *Web) {
	if w.Listen != "" {
		p.checkAddress("web.listen", w.Listen, 0)
	}
	switch {
	case w.TLS.CertFile != "" && w.TLS.KeyFile == "":
		p.at(KindMissing, "web.tls.key_file", "", "missing beside cert_file")
	case w.TLS.CertFile == "" && w.TLS.KeyFile != "":
		p.at(KindMissing, "web.tls.cert_file", "", "missing beside key_file")
	case w.TLS.CertFile != "" && w.Listen != "":
		p.at(KindNotYet, "web.tls", "serve plain HTTP on 127.0.0.1 and put a proxy in front of it", "HTTPS comes with a later version")
	}
}

// publicKey is a public key of minisign in one line.
var publicKey = regexp.MustCompile(`^RW[A-Za-z0-9+/]{54}$`)

func (p *parser) checkRelease(r *Release) {
	if r.Verify == "required" && len(r.PublicKeys) == 0 {
		p.at(KindMissing, "release.verify", "add public_keys (beamkeeper keygen makes a pair), or use if_present", "required, but there is no key that a release could be signed with")
	}
	for i, k := range r.PublicKeys {
		if k != "" && !publicKey.MatchString(k) && !strings.ContainsAny(k, "/.") {
			p.at(KindValue, fmt.Sprintf("release.public_keys[%d]", i), "", "%q is neither a key of minisign (RW and 54 characters more) nor the path of a file", k)
		}
	}
}

func (p *parser) checkNotifications(list []Notification) {
	for i, n := range list {
		at := fmt.Sprintf("notifications[%d]", i)
		switch {
		case n.URL != "":
			p.checkURL(at+".url", n.URL, "http", "https")
		case n.Adapter == "webhook" || n.Adapter == "slack":
			if _, set := p.origin[at+".url"]; !set {
				p.at(KindMissing, at+".url", "", "missing; %s has no address of its own", n.Adapter)
			}
		}
		if n.Adapter == "pagerduty" && n.Options.RoutingKey == "" {
			p.at(KindMissing, at+".options.routing_key", "", "missing; pagerduty needs it")
		}
	}
}

// thresholds are what host and app monitors have in common.
type thresholds struct {
	kind           string
	warning, limit Percent
}

func (p *parser) checkMonitors(where string, list []thresholds) {
	seen := make(map[string]int)
	for i, m := range list {
		at := fmt.Sprintf("%s[%d]", where, i)
		if first, ok := seen[m.kind]; ok && m.kind != "" {
			p.at(KindDuplicate, at+".type", "", "%s is watched by %s[%d] already", m.kind, where, first)
		} else {
			seen[m.kind] = i
		}
		if m.warning > m.limit {
			p.at(KindClash, at+".warning_threshold_percent", "", "%d is above restart_threshold_percent, %d", int(m.warning), int(m.limit))
		}
	}
}

func (p *parser) checkApp(a *App, at string) {
	if a.Language == Gleam && strings.Contains(a.Name, "-") {
		p.at(KindValue, at+".name", "", "%q: a gleam package's name has no -", a.Name)
	}
	if a.Readiness.Application != a.Name && !atomText(a.Readiness.Application) {
		p.at(KindValue, at+".readiness.application", "", "%q is not the name of an OTP application", a.Readiness.Application)
	}
	p.checkVariables(a, at)
	p.checkPlace(a, at)
	var monitors []thresholds
	for _, m := range a.Monitoring {
		monitors = append(monitors, thresholds{m.Type, m.Warning, m.Limit})
	}
	p.checkMonitors(at+".monitoring", monitors)
	if a.Readiness.Probe != nil {
		p.checkProbe(a, at+".readiness.probe")
	}
	p.checkHooks(&a.Hooks, at+".hooks")
	for i, text := range a.AllowDeploys {
		if _, err := window.Parse(text); err != nil && text != "" { // what is no text was noted
			p.at(KindValue, fmt.Sprintf("%s.allow_deploys[%d]", at, i), "write it as Mon-Fri 09:00-17:00 Europe/Berlin", "%v", err)
		}
	}
	for i, c := range a.Certificates {
		if c.ACMEOptions.URL != "" {
			p.checkURL(fmt.Sprintf("%s.certificates[%d].acme_options.url", at, i), c.ACMEOptions.URL, "http", "https")
		}
	}
}

func (p *parser) checkHooks(h *Hooks, at string) {
	for _, step := range []struct {
		key   string
		hooks []Hook
	}{
		{"before_deploy", h.BeforeDeploy}, {"after_deploy", h.AfterDeploy}, {"before_stop", h.BeforeStop}, {"after_stop", h.AfterStop},
		{"before_upgrade", h.BeforeUpgrade}, {"after_upgrade", h.AfterUpgrade}, {"on_rollback", h.OnRollback},
	} {
		for i := range step.hooks {
			hook, where := &step.hooks[i], fmt.Sprintf("%s.%s[%d]", at, step.key, i)
			_, tried := p.origin[where+".run"]
			switch {
			case len(hook.Run) > 0 && hook.RPC != "":
				p.at(KindClash, where, "give one of them", "has run and rpc")
			case len(hook.Run) == 0 && hook.RPC == "" && !tried:
				p.at(KindMissing, where, "give one of run and rpc", "does nothing")
			case hook.RPC != "" && !callText.MatchString(hook.RPC):
				p.at(KindValue, where+".rpc", "", "%q is not a call such as my_app:drain() or 'Elixir.MyApp':drain()", hook.RPC)
			}
			if step.key == "before_deploy" || step.key == "before_upgrade" {
				if hook.OnFailure == "" {
					hook.OnFailure = "abort"
				}
				continue
			}
			if hook.OnFailure == "abort" {
				p.at(KindValue, where+".on_failure", "leave it out", "%s cannot abort: what it belongs to happens all the same", step.key)
			}
			hook.OnFailure = "ignore"
		}
	}
}

// atomText reports whether s can be the name of an OTP application.
func atomText(s string) bool { return len(s) <= 255 && !strings.ContainsAny(s, " \t\n'\"") }

// ownVariables are set by the daemon for each instance.
var ownVariables = []string{"RELEASE_NODE", "BEAMKEEPER_INSTANCE", "BEAMKEEPER_APP", "BEAMKEEPER_NODE"}

func (p *parser) checkVariables(a *App, at string) {
	seen := make(map[string]string)
	variable := func(key, where string) {
		switch {
		case key == "":
		case slices.Contains(ownVariables, key):
			p.at(KindClash, where, "", "%s is set by the daemon for each instance", key)
		case seen[key] != "":
			p.at(KindDuplicate, where, "remove one of the two", "%s is set by %s already", key, seen[key])
		default:
			seen[key] = strings.TrimPrefix(strings.TrimSuffix(where, ".key"), at+".")
		}
	}
	for i, r := range a.ReplicaPorts {
		variable(r.Key, fmt.Sprintf("%s.replica_ports[%d].key", at, i))
	}
	for i, e := range a.Env {
		variable(e.Key, fmt.Sprintf("%s.env[%d].key", at, i))
	}
}

// reference is ${NAME} in a probe.
var reference = regexp.MustCompile(`\$\{([^}]*)\}`)

func (p *parser) checkProbe(a *App, at string) {
	b := a.Readiness.Probe
	var kinds []string
	for _, k := range []struct {
		key string
		set bool
	}{{"http", b.HTTP != ""}, {"tcp", b.TCP != ""}, {"rpc", b.RPC != ""}, {"exec", len(b.Exec) > 0}, {"api", b.API}} {
		if k.set {
			kinds = append(kinds, k.key)
		}
		if _, tried := p.origin[at+"."+k.key]; tried && !k.set && k.key != "api" {
			return // the parser has said what is wrong with it
		}
	}
	switch len(kinds) {
	case 0:
		p.at(KindMissing, at, "give one of http, tcp, rpc, exec and api", "asks nothing")
	case 1:
	default:
		p.at(KindClash, at, "give one of them", "has %s", strings.Join(kinds, " and "))
	}
	p.checkReferences(a, at+".http", b.HTTP)
	p.checkReferences(a, at+".tcp", b.TCP)
	p.checkReferences(a, at+".rpc", b.RPC)
	for i := range b.Exec {
		p.checkReferences(a, at+".exec", b.Exec[i])
	}
	if b.HTTP != "" {
		p.checkURL(at+".http", reference.ReplaceAllString(b.HTTP, "1"), "http", "https")
	}
	if b.TCP != "" {
		p.checkAddress(at+".tcp", reference.ReplaceAllString(b.TCP, "1"), 1)
	}
	if b.RPC != "" && !callText.MatchString(b.RPC) {
		p.at(KindValue, at+".rpc", "", "%q is not a call such as my_app:ready() or 'Elixir.MyApp':ready/0", b.RPC)
	}
}

// callText is the outline of m:f(Args); the arguments are read when the call is made.
var callText = regexp.MustCompile(`(?s)^\s*([a-z][\w@]*|'[^']+')\s*:\s*([a-z][\w@]*|'[^']+')\s*\(.*\)\s*\.?\s*$`)

func (p *parser) checkReferences(a *App, where, text string) {
	var known []string
	for _, r := range a.ReplicaPorts {
		known = append(known, r.Key)
	}
	for _, e := range a.Env {
		known = append(known, e.Key)
	}
	if strings.Contains(reference.ReplaceAllString(text, ""), "${") {
		p.at(KindValue, where, "", "${ without }")
	}
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		if slices.Contains(known, m[1]) || fromDaemon(m[1]) {
			continue
		}
		hint := "add it to replica_ports or env"
		if near := nearest(m[1], known); near != "" {
			hint = "did you mean ${" + near + "}?"
		}
		p.at(KindValue, where, hint, "%s: an instance has no such variable", m[0])
	}
}

// fromDaemon reports whether an instance may have a variable that neither replica_ports nor env gives it: one of the
// daemon's own environment that is passed on, or one of its start contract.
func fromDaemon(key string) bool {
	switch key {
	case "PATH", "HOME", "LANG", "TZ", "SHELL", "USER", "LOGNAME", "TERM", "TMPDIR", "ERL_EPMD_PORT", "ERL_EPMD_ADDRESS":
		return true
	}
	return slices.ContainsFunc([]string{"LC_", "XDG_", "RELEASE_", "BEAMKEEPER_"}, func(p string) bool { return strings.HasPrefix(key, p) })
}

// checkAddress checks HOST:PORT. Secret parts are not repeated.
func (p *parser) checkAddress(where, s string, lowest int) {
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.Atoi(port)
	switch {
	case err != nil || strings.ContainsAny(host, " /@"):
		hint := ""
		if err == nil || !strings.Contains(s, ":") {
			hint = "such as 127.0.0.1:5001"
		}
		p.at(KindValue, where, hint, "%q is not an address HOST:PORT", s)
	case perr != nil || n < lowest || n > 65535:
		p.at(KindValue, where, "", "%q: the port must be from %d to 65535", s, lowest)
	}
}

// checkURL checks a URL, whose text may hold a secret and is not repeated.
func (p *parser) checkURL(where, s string, schemes ...string) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		p.at(KindValue, where, "", "is not a URL that begins with %s://", strings.Join(schemes, ":// or "))
	}
}

// portRange is the ports a setting takes, both ends included.
type portRange struct {
	low, high int
	what      string // for people
	where     string // path of the setting
}

// checkPorts notes ports that two settings want.
func (p *parser) checkPorts(c *Config) {
	var taken []portRange
	fixed := func(where, address string) {
		if _, port, err := net.SplitHostPort(address); err == nil {
			if n, err := strconv.Atoi(port); err == nil && n > 0 && n <= 65535 {
				taken = append(taken, portRange{n, n, where, where})
			}
		}
	}
	fixed("node.listen", c.Node.Listen)
	fixed("node.epmd", c.Node.EPMD)
	fixed("web.listen", c.Web.Listen)
	for i := range c.Applications {
		a := &c.Applications[i]
		for j, r := range a.ReplicaPorts {
			if r.Base == 0 {
				continue
			}
			where := fmt.Sprintf("applications[%d].replica_ports[%d].base", i, j)
			t := portRange{r.Base, r.Base + a.Replicas, cmp.Or(r.Key, "a variable") + " of " + appName(a.Name, i), where}
			if t.high > 65535 {
				p.at(KindValue, where, "", "%d replicas take the ports %d to %d; the highest is 65535", a.Replicas, t.low, t.high)
				continue
			}
			taken = append(taken, t)
		}
	}
	// Each is compared with those that begin before it; the one written later is at fault.
	for i, t := range taken {
		for _, o := range taken[:i] {
			if t.low > o.high || o.low > t.high {
				continue
			}
			hint := "choose another base"
			others := slices.Concat(taken[:i], taken[i+1:])
			if free := freeAbove(others, t.high-t.low, o.high+1); free+t.high-t.low <= 65535 {
				hint = fmt.Sprintf("from %d on there is room; an app takes replicas + 1 ports", free)
			}
			p.at(KindClash, t.where, hint, "ports %s are those of %s (%s)", t, o.what, o)
			break
		}
	}
}

func appName(name string, i int) string {
	if name == "" {
		return fmt.Sprintf("applications[%d]", i)
	}
	return fmt.Sprintf("app %q", name)
}

// freeAbove gives the first port from start on that has span more free ones behind it.
func freeAbove(taken []portRange, span, start int) int {
	for again := true; again; {
		again = false
		for _, t := range taken {
			if start <= t.high && start+span >= t.low {
				start, again = t.high+1, true
			}
		}
	}
	return start
}

func (r portRange) String() string {
	if r.low == r.high {
		return strconv.Itoa(r.low)
	}
	return fmt.Sprintf("%d to %d", r.low, r.high)
}
