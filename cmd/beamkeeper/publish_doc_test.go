package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/beamkeeper/beamkeeper/release"
)

// The examples of docs/publish.md do what they say: what they publish is trusted by a host that demands signatures.
func TestPublishDoc_Examples(t *testing.T) {
	t.Parallel()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/publish.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(doc)
	_, minisign, found := strings.Cut(text, "<!-- tested: minisign -->\n```sh\n")
	minisign, _, _ = strings.Cut(minisign, "```")
	if !found {
		t.Fatal("docs/publish.md has no lines for minisign")
	}
	for name, script := range map[string]string{
		"minisign": minisign, "GitHub Actions": githubLines(t, text), "GitLab": gitlabLines(t, text),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath("minisign"); err != nil && name == "minisign" {
				if os.Getenv("REQUIRE_OTP") == "1" {
					t.Fatal(err)
				}
				t.Skip("minisign is not installed")
			}
			dir := t.TempDir()
			file, bucket := filepath.Join(dir, "shop.tar.gz"), filepath.Join(dir, "bucket")
			if err := writeTarball(file, "elixir", "shop", "1.4.0"); err != nil {
				t.Fatal(err)
			}
			public, private, err := release.NewKey()
			if err != nil {
				t.Fatal(err)
			}
			key, err := private.Text("")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "key"), key, 0o644); err != nil { // as GitLab writes it
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-euc", script)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"), "APP=shop", "ACCOUNT=prod", "VERSION=1.4.0",
				"FILE="+file, "BUCKET="+bucket, "KEY=key", "RELEASE_KEY="+string(key), "RELEASE_KEY_FILE=key", "COMMIT=1a2b3c", "CI_COMMIT_SHA=1a2b3c")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s\n%s", err, script, out)
			}
			trust := release.Trust{Policy: release.VerifyRequired, Keys: []release.PublicKey{public}}
			source := release.Source{Bucket: release.NewLocalBucket(bucket), Account: "prod", Trust: func() *release.Trust { return &trust }}
			cur, err := source.Current(t.Context(), "shop")
			if err != nil || cur.Version != "1.4.0" {
				t.Errorf("current.json = %+v, %v", cur, err)
			}
		})
	}
}

// yamlBlock is the first YAML below a heading.
func yamlBlock(t *testing.T, text, heading string, into any) {
	t.Helper()
	_, below, _ := strings.Cut(text, "\n## "+heading+"\n")
	m := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(below)
	if m == nil {
		t.Fatalf("no YAML below %s", heading)
	}
	if err := yaml.Unmarshal([]byte(m[1]), into); err != nil {
		t.Fatal(err)
	}
}

func githubLines(t *testing.T, text string) string {
	var file struct {
		Jobs struct {
			Publish struct {
				Steps []struct {
					Run string `yaml:"run"`
				} `yaml:"steps"`
			} `yaml:"publish"`
		} `yaml:"jobs"`
	}
	yamlBlock(t, text, "GitHub Actions", &file)
	steps := file.Jobs.Publish.Steps
	return steps[len(steps)-1].Run
}

func gitlabLines(t *testing.T, text string) string {
	var file struct {
		Publish struct {
			Script []string `yaml:"script"`
		} `yaml:"publish"`
	}
	yamlBlock(t, text, "GitLab", &file)
	return strings.Join(file.Publish.Script, "\n")
}
