package state

import (
	"time"

	"github.com/beamkeeper/beamkeeper/internal/process"
)

// Upgrade is a hot upgrade of an instance: one that is under way, is to be taken back, or can still be.
//
// Until it is committed the instance's Version stays From, which is what the next OS process boots.
type Upgrade struct {
	Deployment string           `json:"deployment"`
	From       Release          `json:"from"`
	To         Release          `json:"to"`
	Phase      UpgradePhase     `json:"phase"`
	Since      time.Time        `json:"since"`             // of the phase
	Process    process.Identity `json:"process"`           // the OS process it was prepared in
	Back       bool             `json:"back,omitempty"`    // it is to be taken back
	Kill       bool             `json:"kill,omitempty"`    // its commit ends processes in old code
	History    bool             `json:"history,omitempty"` // the versions history has To
	Why        string           `json:"why,omitempty"`     // of broken
}

// UpgradePhase is what is being done, or was done last. It is written before that begins.
type UpgradePhase string

// The phases, in order.
const (
	UpgradePrepare   UpgradePhase = "prepare"
	UpgradePrepared  UpgradePhase = "prepared"
	UpgradeInstall   UpgradePhase = "install"
	UpgradeSoak      UpgradePhase = "soak"   // installed, and watched
	UpgradeSoaked    UpgradePhase = "soaked" // installed
	UpgradeCommit    UpgradePhase = "commit"
	UpgradeCommitted UpgradePhase = "committed" // the instance's Version is To
	UpgradeBroken    UpgradePhase = "broken"    // nobody can say what it runs: the instance is to be replaced
)

// Runs says whether To may run.
func (u *Upgrade) Runs() bool {
	switch u.Phase {
	case UpgradePrepare, UpgradePrepared:
		return false
	}
	return true
}

// Under says whether the instance has an upgrade that is under way in a deployment, or is being taken back after it.
func (i Instance) Under(deployment string) bool {
	return i.Upgrade != nil && i.Upgrade.Deployment == deployment
}
