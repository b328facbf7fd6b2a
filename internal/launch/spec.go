package launch

// Language is what a release was written in, which decides how it is started.
type Language string

// The languages.
const (
	Elixir Language = "elixir"
	Erlang Language = "erlang"
	Gleam  Language = "gleam"
)

// Var is one variable of the environment.
type Var struct{ Key, Value string }

// Port is a variable whose value is a port number: Base plus the instance's slot.
type Port struct {
	Key  string
	Base int
}

// Spec describes an instance to start.
type Spec struct {
	App      string
	Instance string // <app>-<6 of [0-9a-z]>
	Language Language
	Root     string // the unpacked release: …/service/<app>/<instance>/current
	RunDir   string // a private directory of this instance, made by Prepare, e.g. …/service/<app>/<instance>/run

	Host       string // host part of the node name; with a dot: long names; empty: this machine's short name
	Cookie     string // empty: the release's own (elixir, erlang), the user's ~/.erlang.cookie (gleam)
	SSLOptions string // distribution over TLS: RELEASE_SSL_OPTIONS for erlang, arguments for gleam
	Daemon     string // the daemon's node name, becomes BEAMKEEPER_NODE

	Slot  int    // 0..replicas
	Ports []Port // KEY = Base + Slot
	Env   []Var  // of the configuration, values taken as they are

	BaseEnv  []string // the daemon's own environment (os.Environ()), of which an allow-list is passed on
	OmitPath []string // directories taken out of PATH, besides BINDIR
	User     string   // OS user the instance runs as; sets HOME, USER, LOGNAME, SHELL; empty: the daemon's
	Erl      string   // gleam: the erl to use; empty: the first on PATH
}
