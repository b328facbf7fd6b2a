package config

import (
	"strings"
	"testing"
)

func TestConfig_NotYetNamesWhatHasNoEffect(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"deployex.yaml": `port version otp_version os_target otp_tls_certificates
			metrics_retention_time_ms logs_retention_time_ms monitoring notifications
			applications[0].monitoring applications[0].certificates`,
		"full.yaml": `web.tls fleet`,
	} {
		var got []string
		for _, n := range parseFile(t, in).NotYet() {
			got = append(got, n.Path)
			if n.Line == 0 || n.Column == 0 || !strings.HasPrefix(n.Message, "accepted without effect: ") {
				t.Errorf("%s: notice %+v", in, n)
			}
		}
		if g, w := strings.Join(got, " "), strings.Join(strings.Fields(want), " "); g != w {
			t.Errorf("%s: notices for\n%s\nwant\n%s", in, g, w)
		}
	}
}

func TestConfig_NotYetLeavesOutWhatIsOff(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
monitoring: []
notifications: []
web: {listen: ""}
fleet: {etcd_endpoints: []}
applications:
  - name: a
    cluster: none
    strategy: {soak_ms: 0}
    hot_upgrade: {enabled: false, soak_ms: 5}
    hooks: {before_stop: []}
    limits: {}
    certificates: []
`)
	if n := c.NotYet(); len(n) != 0 {
		t.Errorf("notices %v, want none", n)
	}
}

func TestNotice_String(t *testing.T) {
	t.Parallel()
	n := mustParse(t, "applications:\n  - name: a\n    monitoring: [{type: atom}]\n").NotYet()
	if len(n) != 1 || n[0].String() != "3:5: applications[0].monitoring: accepted without effect: the watchdog comes with a later version" {
		t.Errorf("notices %v", n)
	}
}
