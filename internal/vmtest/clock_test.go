package vmtest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// shift sets the clock forward, or back.
func (d *daemon) shift(by time.Duration) {
	d.t.Helper()
	now, err := strconv.ParseInt(strings.TrimSpace(d.Run("date", "+%s")), 10, 64)
	if err != nil {
		d.t.Fatal(err)
	}
	d.Run("/run/guest", "set", fmt.Sprint(now+int64(by/time.Second)))
}

// clock sets the clock by hours, there and back, under a daemon and an instance with TLS between them.
func clock(d *daemon) {
	t := d.t
	before := d.await("the instance", running("0.1.0"))
	daemon := d.mainPID()

	d.shift(5 * time.Hour)
	d.goesOn(before)
	d.serves(before)
	d.sane()
	d.Run("beamkeeper", "publish", "sample", "/srv/bk/0.2.0.tar.gz", "--version", "0.2.0") // the watch still looks
	second := d.await("the next version", running("0.2.0"))

	d.shift(-11 * time.Hour)
	d.goesOn(second)
	d.serves(second)
	d.sane()
	if now := d.mainPID(); now != daemon {
		t.Errorf("the daemon is OS pid %s, was %s", now, daemon)
	}
	d.shift(6 * time.Hour)
	d.goesOn(second)
}

var hours = regexp.MustCompile(`\b\d+[hd]\d\d`)

// sane checks that neither the daemon nor the instance is said to have run for hours.
func (d *daemon) sane() {
	d.t.Helper()
	if out := d.Run("beamkeeper", "status"); hours.MatchString(out) {
		d.t.Errorf("the status tells of hours:\n%s", out)
	}
}
