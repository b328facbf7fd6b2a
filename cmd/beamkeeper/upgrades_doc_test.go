package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// docBlock is a block of a document that is typed, with what it must print.
type docBlock struct{ sh, text string }

// docBlocks are the blocks of a document behind a heading.
func docBlocks(t *testing.T, file, heading string) (list []docBlock) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(b), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", file, heading)
	}
	for _, m := range regexp.MustCompile("(?s)```(sh|text)\n(.*?)```").FindAllStringSubmatch(part, -1) {
		if m[1] == "sh" {
			list = append(list, docBlock{sh: m[2]})
		} else {
			list[len(list)-1].text = m[2]
		}
	}
	return list
}

// prints says which line of the document's text is not in the output, in order; … stands for anything.
func prints(output, text string) (missing string) {
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		for _, part := range strings.Split(line, "…") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			_, rest, ok := strings.Cut(output, part)
			if !ok {
				return part
			}
			output = rest
		}
	}
	return ""
}

// The walk of docs/upgrades.md does what it says.
func TestUpgradesDoc_Walk(t *testing.T) {
	t.Parallel()
	r := hotRig(t, sampletest.HotErlang, "soak_ms: 2000")
	for _, v := range []string{"0.1.0", "0.2.0", "0.2.6"} {
		if err := os.Symlink(sampletest.Build(t, sampletest.HotErlang, v), filepath.Join(r.dir, "hot_erlang-"+v+".tar.gz")); err != nil {
			t.Fatal(err)
		}
	}
	r.run()
	blocks := docBlocks(t, "../../docs/upgrades.md", "## A walk")
	if len(blocks) < 8 || !strings.Contains(blocks[0].sh, "beamkeeper init") || !strings.Contains(blocks[0].sh, "build.sh") {
		t.Fatalf("blocks %+v", blocks)
	}
	for _, b := range blocks[1:] {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, "sh", "-c", b.sh)
		cmd.Dir = r.dir
		cmd.Env = append(r.env, "PATH="+filepath.Dir(r.bin)+string(os.PathListSeparator)+os.Getenv("PATH"))
		out, err := cmd.Output()
		cancel()
		if ctx.Err() == context.DeadlineExceeded {
			t.Fatalf("%s takes longer than %s: %v", b.sh, patience, err)
		}
		if missing := prints(string(out), b.text); missing != "" {
			t.Fatalf("%s\nprints (%v)\n%s\nwithout %q, or not in this order", b.sh, err, out, missing)
		}
	}
}
