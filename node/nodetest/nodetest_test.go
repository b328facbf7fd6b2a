package nodetest

import (
	"strings"
	"testing"
)

func TestStartErl(t *testing.T) {
	t.Parallel()
	otps := Want(t, "25", "27", "29")
	port := StartEPMD(t)
	for _, otp := range otps {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			e := StartErl(t, otp, "nt"+otp.Release, "secret", port)
			if got := e.Eval("erlang:system_info(otp_release)."); got != `"`+otp.Release+`"` {
				t.Errorf("otp_release = %s, want %s", got, otp.Release)
			}
			if got := e.Eval("node()"); got != "nt"+otp.Release+"@localhost" {
				t.Errorf("node() = %s", got)
			}
			e.Eval("X = 7")
			if got := e.Eval("{X, <<\"é\"/utf8>>}"); got != `{7,<<"é"/utf8>>}` {
				t.Errorf("binding and UTF-8 = %s", got)
			}
			if _, err := e.TryEval("exit(boom)"); err == nil || !strings.HasPrefix(err.Error(), "exit:boom") {
				t.Errorf("TryEval of exit(boom) = %v", err)
			}
		})
	}
}
