package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

const generateConfig = `hostname: example.net
applications:
  - name: shop
    language: elixir
    replicas: 2
    user: shop
    group: web
    dirs: [{kind: state}]
    replica_ports: [{key: PORT, base: 4000}, {key: METRICS_PORT, base: 4100}]
  - name: birds
    language: gleam
    replicas: 1
    replica_ports: [{key: PORT, base: 5000}]
`

// generate runs `beamkeeper generate` with generateConfig and returns what it printed.
func generate(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "beamkeeper.yaml")
	if err := os.WriteFile(file, []byte(generateConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = newCLI(strings.NewReader(""), &stdout, &stderr, func(string) string { return "" }).run(t.Context(), append([]string{"generate", "--config", file}, args...))
	if code != 0 {
		return stderr.String(), code
	}
	return stdout.String(), 0
}

func TestGenerate_Users(t *testing.T) {
	t.Parallel()
	out, code := generate(t, "users", "--deploy-group", "deploy")
	for _, want := range []string{"user shop /var/lib/shop 'app shop'", "groupadd --system web", "groupadd --system deploy", "# runs as the daemon's user"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in:\n%s", code, want, out)
		}
	}
	shellCheck(t, out)
	if out, code := generate(t, "users", "--deploy-group", "a;b"); code != exitUsage {
		t.Errorf("a group that is none: exit %d, %s", code, out)
	}
}

// shellCheck has sh read a script without running it.
func shellCheck(t *testing.T, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-n")
	cmd.Stdin = strings.NewReader(script)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sh -n: %v: %s\n%s", err, b, script)
	}
}

func TestGenerate_NginxListsOnePortMoreThanReplicas(t *testing.T) {
	t.Parallel()
	out, code := generate(t, "nginx", "--host", "birds=birds.org")
	if code != 0 {
		t.Fatal(out)
	}
	for _, want := range []string{
		"upstream shop {\n    server 127.0.0.1:4000 max_fails=1 fail_timeout=1s;\n    server 127.0.0.1:4001 max_fails=1 fail_timeout=1s;\n    server 127.0.0.1:4002 max_fails=1 fail_timeout=1s;\n    keepalive",
		"upstream shop_metrics_port {\n    server 127.0.0.1:4100", "127.0.0.1:5001 max_fails=1 fail_timeout=1s;\n    keepalive", "server_name shop.example.net;", "server_name birds.org;",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Count(out, "server_name") != 2 {
		t.Errorf("not two servers:\n%s", out)
	}
	if out, code := generate(t, "nginx", "--host", "shop=a;b"); code != exitUsage {
		t.Errorf("a host that is none: exit %d, %s", code, out)
	}
	if out, code := generate(t, "nginx", "--host", "shpo=a"); code != exitNotFound {
		t.Errorf("an app that is none: exit %d, %s", code, out)
	}
}

func TestGenerate_CodeDeploy(t *testing.T) {
	t.Parallel()
	if out, code := generate(t, "codedeploy"); code != exitUsage || !strings.Contains(out, "--app shop|birds") {
		t.Errorf("without an app: exit %d, %s", code, out)
	}
	dir := t.TempDir()
	if out, code := generate(t, "codedeploy", "--app", "shop", "--output", dir, "--timeout", "600"); code != 0 {
		t.Fatal(out)
	}
	for name, want := range map[string]string{
		"appspec.yml":                  "timeout: 600",
		"scripts/application_start.sh": "exec /usr/bin/beamkeeper deploy shop /var/lib/beamkeeper/codedeploy/shop.tar.gz --timeout 600s",
		"scripts/before_install.sh":    "/usr/bin/beamkeeper status shop",
		"scripts/validate_service.sh":  "exec /usr/bin/beamkeeper doctor shop",
	} {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v, no %q in:\n%s", name, err, want, b)
		}
		if strings.HasSuffix(name, ".sh") {
			shellCheck(t, string(b))
			if st, err := os.Stat(path); err != nil || st.Mode()&0o111 == 0 {
				t.Errorf("%s is not executable", name)
			}
		}
	}
	if out, code := generate(t, "codedeploy", "--app", "shop", "--output", dir); code != exitRefused || !strings.Contains(out, "nothing was written") {
		t.Errorf("a second time: exit %d, %s", code, out)
	}
}

func TestGenerate_Logrotate(t *testing.T) {
	t.Parallel()
	if out, code := generate(t, "logrotate"); code != 0 || !strings.Contains(out, "/var/lib/beamkeeper/epmd.log {") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestGenerate_Terraform(t *testing.T) {
	t.Parallel()
	for _, cloud := range []string{"aws", "gcp"} {
		out, code := generate(t, "terraform-"+cloud, "--app", "birds")
		if code != 0 {
			t.Fatal(out)
		}
		if _, diags := hclparse.NewParser().ParseHCL([]byte(out), "main.tf"); diags.HasErrors() {
			t.Errorf("%s: %v\n%s", cloud, diags, out)
		}
		if got := string(hclwrite.Format([]byte(out))); got != out {
			t.Errorf("%s is not formatted:\n%s\nshould be:\n%s", cloud, out, got)
		}
		if !strings.Contains(out, `language     = "gleam"`) || !strings.Contains(out, "port         = 5000") || !strings.Contains(out, "packaging/terraform/"+cloud) {
			t.Errorf("%s:\n%s", cloud, out)
		}
		dir := t.TempDir()
		if out, code := generate(t, "terraform-"+cloud, "--app", "birds", "--output", dir); code != 0 {
			t.Fatal(out)
		}
		for _, name := range []string{"main.tf", "terraform/" + cloud + "/main.tf", "terraform/cloud-init/user-data.yaml.tftpl"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		}
	}
}
