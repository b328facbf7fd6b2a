package node

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func testHandshaker(self string) *handshaker {
	name, _ := ParseName(self)
	return &handshaker{
		header: 2, self: name, flags: flagsOurs, creation: 9, cookie: func(Name) Cookie { return flowCookie },
		verify: func(Name) error { return nil }, challenge: randomChallenge,
	}
}

// An acceptor that does not know the cookie is found out too: it cannot answer our challenge.
func TestHandshake_AcceptorWithoutCookie(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		defer theirs.Close()
		h := testHandshaker("imposter@localhost")
		readFrame(theirs, 2) // errors show in what we make of it
		h.send(theirs, &statusMsg{status: statusOK})
		h.send(theirs, &challengeMsg{flags: flagsOurs, challenge: 1, creation: 1, name: "imposter@localhost"})
		readFrame(theirs, 2)
		h.send(theirs, &ackMsg{digest: Cookie("guess").digest(2)})
	}()
	_, err := testHandshaker("keeper@localhost").connect(ours, Name{"imposter", "localhost"}, func() bool { return true })
	if !errors.Is(err, ErrBadCookie) {
		t.Errorf("connect = %v, want ErrBadCookie", err)
	}
}

// What an acceptor refuses by the name alone gets not_allowed, and why is in the error.
func TestHandshake_AcceptRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		peer  string
		flags Flags
		want  error
	}{
		"own name":         {"keeper@localhost", flagsOurs, ErrPeerName},
		"long names":       {"other@host.example.org", flagsOurs, ErrPeerName},
		"missing flag":     {"other@localhost", flagsOurs &^ (FlagMandatory25 | FlagMapTag), ErrFlags},
		"verify":           {"bad@localhost", flagsOurs, errVerify},
		"refused by allow": {"enemy@localhost", flagsOurs, ErrNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := net.Pipe()
			defer ours.Close()
			defer theirs.Close()
			theirs.SetDeadline(time.Now().Add(20 * time.Second))
			result := make(chan error, 1)
			go func() {
				h := testHandshaker("keeper@localhost")
				h.verify = func(peer Name) error {
					if peer.Alive == "bad" {
						return errVerify
					}
					return nil
				}
				_, err := h.accept(ours, func(peer Name, _ Flags) verdict {
					if peer.Alive == "enemy" {
						return verdict{status: statusNotAllowed, err: ErrNotAllowed}
					}
					return verdict{status: statusOK}
				})
				ours.Close()
				result <- err
			}()
			h := testHandshaker(c.peer)
			if err := h.send(theirs, &nameMsg{flags: c.flags, creation: 1, name: c.peer}); err != nil {
				t.Fatal(err)
			}
			var status statusMsg
			if err := h.recv(theirs, &status); err != nil || status.status != statusNotAllowed {
				t.Errorf("status %q, %v", status.status, err)
			}
			if _, err := readFrame(theirs, 2); err != io.EOF {
				t.Errorf("after not_allowed: %v, want the end", err)
			}
			if err := <-result; !errors.Is(err, c.want) {
				t.Errorf("accept = %v, want %v", err, c.want)
			}
		})
	}
}

var errVerify = errors.New("certificate of somebody else")

// Handshake messages too long for a frame, and those of version 5, are refused.
func TestHandshake_Frames(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	go theirs.Write([]byte{0xff, 0xff})
	if _, err := readFrame(ours, 2); !errors.Is(err, ErrHandshake) {
		t.Errorf("frame of 65535 bytes: %v", err)
	}
	if err := (&nameMsg{}).parse([]byte("n\x00\x05\x00\x00\x00\x00a@b")); !errors.Is(err, ErrVersion) {
		t.Errorf("name of version 5: %v", err)
	}
	go writeFrame(theirs, 4, []byte("hello")) // as over TLS
	if b, err := readFrame(ours, 4); err != nil || string(b) != "hello" {
		t.Errorf("frame with a header of 4: %q, %v", b, err)
	}
}

// Flags that this version does not know, and bytes behind a name, are for later versions: ignored.
func TestHandshake_UnknownFlags(t *testing.T) {
	t.Parallel()
	later := append((&nameMsg{flags: flagsOurs | 0xf8<<56, creation: 1, name: "other@localhost"}).append(nil), "more"...)
	var name nameMsg
	if err := name.parse(later); err != nil || name.name != "other@localhost" {
		t.Errorf("name: %+v, %v", name, err)
	}
	later = append((&challengeMsg{flags: flagsOurs | 0xf8<<56, challenge: 1, creation: 1, name: "other@localhost"}).append(nil), "more"...)
	var challenge challengeMsg
	if err := challenge.parse(later); err != nil || challenge.name != "other@localhost" {
		t.Errorf("challenge: %+v, %v", challenge, err)
	}
	theirs, err := checkPeerFlags(name.flags)
	if err != nil {
		t.Fatal(err)
	}
	if got := testHandshaker("keeper@localhost").result(Name{"other", "localhost"}, theirs, 1).flags; got != flagsOurs {
		t.Errorf("effective flags %v", got)
	}
}
