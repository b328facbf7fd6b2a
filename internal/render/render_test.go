package render

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	t.Parallel()
	f := Sample("shop", []string{"PORT"}, []string{"state"})
	for _, c := range []struct{ name, text, want string }{
		{"plain text stays", "a $B ${C} {x}", "a $B ${C} {x}"},
		{"facts", "{{.App}} {{.Instance}} {{.Node}} {{.Host}} {{.Version}} {{.Slot}}", "shop shop-abc123 shop-abc123@host host 1.2.3 0"},
		{"a port", `{{index .Ports "PORT"}} {{.Ports.PORT}}`, "4000 4000"},
		{"a folder", "{{.Dirs.state}}/x", "/state/x"},
		{"arithmetic", "+S {{max 1 (sub .CPUs 1)}} {{mul .CPUs 10}} {{add 1 2}} {{min 3 2}} {{div .Memory 2 | mib}}", "+S 3 40 3 2 4096"},
		{"conditions", "{{if gt .CPUs 2}}big{{else}}small{{end}}", "big"},
		{"braces", `{{"{{"}}x}}`, "{{x}}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := Text("env X", c.text, f)
			if err != nil || got != c.want {
				t.Errorf("Text(%q) = %q, %v; want %q", c.text, got, err, c.want)
			}
		})
	}
}

func TestText_NamesLineAndName(t *testing.T) {
	t.Parallel()
	f := Sample("shop", []string{"PORT"}, nil)
	for _, c := range []struct{ text, want string }{
		{"a\nb {{.Cpus}}", "vm_args: line 2: <.Cpus>: there is no Cpus (there are App"},
		{"{{.Ports.PROT}}", `vm_args: line 1: <.Ports.PROT>: map has no entry for key "PROT"`},
		{"{{div 1 0}}", "vm_args: line 1: <div 1 0>: error calling div: division by zero"},
		{"{{div .App 2}}", "shop is no integer"},
		{"\n\n{{nothing}}", `vm_args: line 3: function "nothing" not defined`},
		{"{{.App", "vm_args: line 1: unclosed action"},
	} {
		if got, err := Text("vm_args", c.text, f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Text(%q) = %q, %v; want the error %q", c.text, got, err, c.want)
		}
	}
}
