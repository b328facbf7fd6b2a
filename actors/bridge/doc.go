// Package bridge runs the actors of Ergo in this process and joins them to Erlang's distribution, which package node
// speaks. An actor sends to, calls, links and monitors an Erlang pid or registered name, and is sent to, called,
// linked and monitored by one, each under its own pid.
//
//	s, err := bridge.Start(ctx, bridge.Options{Node: n, Logger: log})
//	…
//	pid, err := s.Ergo().SpawnRegister("greeter", newGreeter, gen.ProcessOptions{})
//	// any BEAM: gen_server:call({greeter, 'beamkeeper@host'}, hello)
//
// # How it is put together
//
// Ergo's own way to other nodes does not serve: it links and monitors in the name of the node, not the actor, dials
// under a lock that the whole node shares, and has no exit reasons. So the bridge keeps Ergo's part small.
//
// Each actor that the cluster knows of is a node.Process with the actor's own number (process). Its links, monitors,
// calls and exit reasons live there and obey Erlang's rules; what arrives is put in the actor's mailbox by the
// goroutine that reads the link. Towards actors, one goroutine per peer delivers, so that nothing is reordered;
// from actors, each actor's goroutine puts what it sends in the peer's outbox itself.
//
//   - Actor, embedded instead of act.Actor, gives an actor its process from the start and sends, calls, links and
//     monitors through it (remote). This is what the daemon's actors use. Ergo's network is not involved at all.
//   - Other Ergo processes (act.Actor, supervisors, pools) and the methods of gen.Node reach peers through Ergo's core.
//     For them the bridge is Ergo's network stack: registrar, handshake, proto and connection, entered by rendezvous:
//     package node dials, accepts and shakes hands, and only a finished link is handed to Ergo, through a socket that
//     ends in this process. None of these methods waits for the network while Ergo holds a lock. Peers see them under
//     their own pids too, except that their links and monitors of remote processes are monitors held by the Ergo
//     node's pid, and that a link does not make the remote process see their end. What they ask of a node without a
//     link fails with gen.ErrNoRoute at once, while package node dials in the background. They do not get exits with
//     reason normal, since the bridge cannot see whether they trap.
//
// Peers find actors by the Router of package node, also those that never sent anything. Ergo tells the bridge when such an
// actor ends: it believes that a process of a node called localPeer monitors it.
//
// # Traps of Ergo avoided here
//
//   - One link or monitor per remote target and node: see connection.watch.
//   - The target manager's lock is held while its connection is asked for and used: methods called under it only queue.
//   - References repeat after 262,144: those on the wire are package node's, inbound calls are counted by tagTable.
//   - Connections are removed by name, not identity: nodeEvent waits for that before it lets in the next one.
//   - Serial accept, fixed ports, its own TLS and handshake: no acceptor is started, a rendezvous needs none.
//   - A flusher with keepalive can crash the process: nothing here or in act uses it (meta.TCP and meta.Port may).
//   - DOWN and EXIT overtake messages in Ergo's mailbox: to an Actor they come in their place.
//   - The system application reports usage to the framework's makers, SIGTERM is caught and reset for the whole process,
//     a slow shutdown ends in os.Exit: see startErgo, captureApp, Start.
package bridge
