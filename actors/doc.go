// Package actors is the supervision tree of the daemon: it keeps the instances of every app as the operator and the
// bucket wish them to be.
//
//	root
//	├── events                   the event bus: numbers, keeps and spreads events
//	├── releases                 hears of changed current.json files
//	└── apps
//	    └── app:<app>            one supervisor per app
//	        ├── manager:<app>    reconciler and deployments
//	        └── instances:<app>
//	            └── instance:<instance>   starts, readies, watches and stops one OS process
//
// The tree holds no OS process. Those belong to a registry outside it, so that an actor may crash, is started again by
// its supervisor, finds its instance as it left it and goes on; the BEAM notices nothing. What must outlive the daemon
// is in the state store (internal/state).
//
// Actors do not block: what takes time (fetching, unpacking, calls over distribution, probes, stopping) runs in
// goroutines that System owns, which report by message.
package actors
