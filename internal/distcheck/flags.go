package distcheck

import (
	"fmt"
	"strings"

	"github.com/beamkeeper/beamkeeper/node"
)

// since tells which OTP first sets a flag. The first that a peer lacks tells how old it is.
//
// Spec: https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#distribution-flags
var since = []struct {
	flag node.Flags
	otp  int
}{
	{node.FlagUTF8Atoms, 16}, {node.FlagMapTag, 17}, {node.FlagBigCreation, 19}, {node.FlagSendSender, 21}, {node.FlagBigSeqTraceLabels, 22},
	{node.FlagExitPayload, 22}, {node.FlagFragments, 22}, {node.FlagHandshake23, 23}, {node.FlagSpawn, 23}, {node.FlagV4NC, 24}, {node.FlagAlias, 24},
}

// missingFlags says what a peer lacks that err is about.
func (c *checker) missingFlags(err error) bool {
	_, list, _ := strings.Cut(err.Error(), node.ErrFlags.Error()+": ")
	newest := 0
	for _, name := range strings.Split(list, ",") {
		for _, s := range since {
			if s.flag.String() == name {
				newest = max(newest, s.otp)
			}
		}
	}
	who := "no OTP since R12 lacks that, so it is a node that is not Erlang's"
	if newest > 0 {
		who = fmt.Sprintf("OTP has set that since release %d, so it is older, or not Erlang's", newest)
	}
	return c.fail(StepFlags, "run it on OTP 23 or later; of a node in another language, a newer version", "the peer lacks what is needed: %s; %s", list, who)
}

// flags says what a peer cannot do that is not needed but missed.
func (c *checker) flags(common node.Flags, release string) {
	if release != "" {
		release = "OTP " + release + ": "
	}
	var lacks []string
	for _, s := range since {
		if !common.Has(s.flag) {
			lacks = append(lacks, fmt.Sprintf("%s (OTP %d)", s.flag, s.otp))
		}
	}
	if len(lacks) == 0 {
		c.ok(StepFlags, "%snothing is missing", release)
		return
	}
	c.warn(StepFlags, "it works all the same; with a newer OTP it works with less work", "%sthe peer lacks %s", release, strings.Join(lacks, ", "))
}
