package config

// MaxFileBytes is the size above which Load and Parse refuse a file.
const MaxFileBytes = 1 << 20

// Load reads and parses the file at path.
//
// Errors: that of opening or reading (fs.ErrNotExist and the like), or an *Error with all problems.
func Load(path string) (*Config, error) { panic("todo") }

// Parse reads a configuration. Name is the file's name for messages; relative paths in the configuration are relative
// to its folder. An empty file is a valid configuration with no applications.
//
// Errors: *Error with all problems.
func Parse(name string, b []byte) (*Config, error) { panic("todo") }

// NotYet lists the settings of the file that this version accepts but does not act upon, in the order of their lines.
// Settings left at their defaults are not listed.
func (c *Config) NotYet() []Notice { panic("todo") }

// Show gives the effective configuration as YAML, every default filled in and every secret masked.
func (c *Config) Show() []byte { panic("todo") }

// ShowJSON gives what Show gives, as JSON.
func (c *Config) ShowJSON() []byte { panic("todo") }

// Schema gives the JSON Schema (2020-12) of the file.
func Schema() []byte { panic("todo") }

// ExampleOptions say what Example writes. The zero value is a system-wide installation with one Elixir app "myapp".
type ExampleOptions struct {
	Dir      string   // folder that holds everything; empty: /var/lib/beamkeeper, /var/log/beamkeeper, /run/beamkeeper
	App      string   // name of the app; empty: myapp
	Language Language // empty: elixir
	Replicas int      // 0: 2
	Port     int      // base of PORT; 0: 4000
}

// Example gives a commented configuration file for one app that Parse accepts.
func Example(o ExampleOptions) []byte { panic("todo") }

// EPMDAddress gives the address of the port mapper: the epmd setting, else 127.0.0.1 and the port in ERL_EPMD_PORT,
// else 127.0.0.1:4369. Getenv is os.Getenv.
func (n Node) EPMDAddress(getenv func(string) string) string { panic("todo") }

// CookiePath gives the file of the generated cookie, <var_path>/cookie.
func (c *Config) CookiePath() string { panic("todo") }

// Slots gives the number of port slots: replicas + 1.
func (a App) Slots() int { return a.Replicas + 1 }

// Ports gives the ports of a slot by variable.
func (a App) Ports(slot int) map[string]int {
	ports := make(map[string]int, len(a.ReplicaPorts))
	for _, p := range a.ReplicaPorts {
		ports[p.Key] = p.Base + slot
	}
	return ports
}
