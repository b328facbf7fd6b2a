package launch

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/beamkeeper/beamkeeper/internal/render"
	"github.com/beamkeeper/beamkeeper/internal/sandbox"
)

// placedBytes bounds a file of the configuration.
const placedBytes = 16 << 20

// place reads and fills the files that the configuration gives to the app.
func (p *Plan) place(s Spec, facts render.Facts) error {
	for i, f := range s.Place {
		path, err := render.Text(fmt.Sprintf("files[%d].path", i), f.Path, facts)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.runDir(), path)
			if len(p.Dirs) == 0 || p.Dirs[len(p.Dirs)-1].Kind != privateDir {
				p.Dirs = append(p.Dirs, Dir{Kind: privateDir, Path: s.runDir(), Mode: 0o700})
			}
		}
		content := []byte(f.Content)
		if f.Source != "" {
			if content, err = readPlaced(f.Source); err != nil {
				return fmt.Errorf("files[%d] (%s): %w", i, path, err)
			}
		}
		if f.Source == "" || f.Template {
			text, err := render.Text("files "+path, string(content), facts)
			if err != nil {
				return err
			}
			content = []byte(text)
		}
		mode := f.Mode
		if mode == 0 {
			mode = 0o640
		}
		p.Files = append(p.Files, File{Path: path, Mode: mode, Content: content, User: f.User, Group: f.Group, shared: true})
	}
	return nil
}

// privateDir is the kind of the folders that are the instance's own.
const privateDir = "private"

func readPlaced(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, placedBytes+1))
	if err == nil && len(b) > placedBytes {
		err = fmt.Errorf("%s is longer than %d bytes", path, placedBytes)
	}
	return b, err
}

// enter says how the program is entered, if umask or sandbox ask for more than a start.
func (p *Plan) enter(s Spec) {
	if s.Umask == nil && !s.Sandbox.Any() {
		return
	}
	e := &sandbox.Entry{Options: s.Sandbox, Umask: s.Umask, Keep: []string{filepath.Dir(s.Root)}}
	for _, d := range p.Dirs {
		if d.Kind != privateDir {
			e.Keep = append(e.Keep, d.Path)
		}
	}
	if s.Sandbox.PrivateTmp {
		e.Tmp = filepath.Join(s.runDir(), "private")
		p.Dirs = append(p.Dirs, Dir{Kind: privateDir, Path: s.runDir(), Mode: 0o700}, Dir{Kind: privateDir, Path: e.Tmp, Mode: 0o700})
	}
	p.Enter = e
}
