package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// An OS user of its own, folders, env files, rendered files and flags, a sandbox, and a release that cannot be written
// to: with a release of each language.
func TestEndToEnd_Surroundings(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root starts instances as another user")
	}
	for _, language := range []string{"erlang", "elixir", "gleam"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, language)
			if err := os.Chmod(r.dir, 0o755); err != nil {
				t.Fatal(err)
			}
			envFile := filepath.Join(r.dir, "app.env")
			if err := os.WriteFile(envFile, []byte("FROM_FILE=\"a b\"\nBOTH=file\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			r.edit("replicas: 2", fmt.Sprintf(`replicas: 1
    user: nobody
    umask: "0027"
    dirs:
      - {kind: state, path: %[1]s/app-state}
    env_files: [%[1]s/app.env, -%[1]s/missing.env]
    files:
      - {path: "{{ .Dirs.state }}/rendered", content: "cpus={{ .CPUs }}"}
    vm_args: |
      # two schedulers, whatever the host has
      +S 2:2
      -%[2]s answer 42
    sandbox: {preset: paranoia, strict: true, inaccessible_paths: [/opt]}`, r.dir, r.app))
			r.edit("    env:\n", `    env:
      - {key: BOTH, value: env}
      - {key: FACTS, value: "{{ .Instance }} {{ .Slot }} {{ .Version }} {{ .Ports.PORT }}"}
`)
			r.must("publish", r.app, sampletest.Build(t, language, "0.1.0"))
			r.run("--with-instances")
			a := r.await("one instance", running(1, "0.1.0"))
			i := a.Instances[0]
			if len(a.Problems) != 0 {
				t.Errorf("problems: %+v", a.Problems)
			}
			for call, want := range map[string]string{
				`os:getenv("FROM_FILE").`:                               `"a b"`,
				`os:getenv("BOTH").`:                                    `"env"`,
				`os:getenv("FACTS").`:                                   fmt.Sprintf(`"%s %d 0.1.0 %d"`, i.Name, i.Slot, i.Ports["PORT"]),
				`os:getenv("STATE_DIRECTORY").`:                         fmt.Sprintf("%q", r.dir+"/app-state"),
				"erlang:system_info(schedulers).":                       "2",
				"application:get_env(" + r.app + ",answer).":            "{ok,42}",
				`os:cmd("id -un").`:                                     `"nobody\n"`,
				`os:cmd("umask").`:                                      `"0027\n"`,
				`os:cmd("ls /tmp | wc -l").`:                            `"1\n"`, // the way to the instance's own folder
				`file:write_file("/etc/beamkeeper-e2e", "x").`:          "{error,",
				`file:write_file("` + r.dir + `/app-state/mine", "x").`: "ok",
			} {
				if got := r.must("rpc", r.app+"/"+i.Name, call); !strings.HasPrefix(got, want) {
					t.Errorf("%s = %s, want %s", call, strings.TrimSpace(got), want)
				}
			}
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.OSPID))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000", "Uid:\t65534\t65534\t65534\t65534"} {
				if !strings.Contains(string(status), want) {
					t.Errorf("the OS process has no %q:\n%s", want, status)
				}
			}
			if b, err := os.ReadFile(filepath.Join(r.dir, "app-state", "rendered")); err != nil || !strings.HasPrefix(string(b), "cpus=") {
				t.Errorf("rendered file: %q, %v", b, err)
			}
			r.releaseIsReadOnly(i.Name)
		})
	}
}

// releaseIsReadOnly wants nothing in the unpacked release to belong to the instance's user but what release_handler writes.
func (r *rig) releaseIsReadOnly(instance string) {
	r.t.Helper()
	call := `rpc`
	got := r.must(call, r.app+"/"+instance, `os:cmd("find . ! -type l -writable ! -path ./releases/RELEASES ! -path ./releases/start_erl.data | head -3").`)
	if strings.TrimSpace(got) != `""` && strings.TrimSpace(got) != "[]" {
		r.t.Errorf("the instance may write into its release: %s", got)
	}
}
