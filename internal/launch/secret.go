package launch

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Secret is something that an instance gets and nobody else may see: a variable, a file, or both. Its value is no template.
type Secret struct {
	Env   string // variable; empty: none
	File  string // relative to the folder secrets in RunDir; empty: none
	Value string
}

// secretsDir is the folder of an instance's secrets in its RunDir.
const secretsDir = "secrets"

// secrets adds the secrets' variables, which win over all others of the configuration.
func (e environment) secrets(s Spec) error {
	for _, x := range s.Secrets {
		if x.File != "" {
			e.set("SECRETS_DIRECTORY", filepath.Join(s.runDir(), secretsDir))
		}
		if x.Env == "" {
			continue
		}
		if err := checkVar(Var{Key: x.Env, Value: x.Value}); err != nil {
			return fmt.Errorf("secrets: %w", err)
		}
		e.set(x.Env, x.Value)
	}
	return nil
}

// secrets has the secrets' files written, for the instance's user alone.
func (p *Plan) secrets(s Spec) error {
	for _, x := range s.Secrets {
		if x.File == "" {
			continue
		}
		if !filepath.IsLocal(x.File) || strings.ContainsRune(x.File, filepath.Separator) {
			return fmt.Errorf("secrets: %q is no name of a file", x.File)
		}
		dir := filepath.Join(s.runDir(), secretsDir)
		if len(p.Dirs) == 0 || p.Dirs[len(p.Dirs)-1].Path != dir {
			p.Dirs = append(p.Dirs, Dir{Kind: privateDir, Path: s.runDir(), Mode: 0o700}, Dir{Kind: privateDir, Path: dir, Mode: 0o700})
		}
		p.Files = append(p.Files, File{Path: filepath.Join(dir, x.File), Mode: 0o400, Content: []byte(x.Value), shared: true})
	}
	return nil
}
