package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// patient is a BEAM that ends some time after it was asked.
type patient struct {
	connected  bool
	initStop   time.Duration // from init:stop to its end; 0: never
	term       time.Duration // from SIGTERM to its end; 0: never
	callFails  error
	callHangs  bool
	unkillable bool

	done chan struct{}
}

func (p *patient) end(after time.Duration) {
	if after > 0 {
		time.AfterFunc(after, func() {
			select {
			case <-p.done:
			default:
				close(p.done)
			}
		})
	}
}

func (p *patient) Connect(context.Context, node.Name) error { return nil }
func (p *patient) Connected(node.Name) bool                 { return p.connected }

func (p *patient) Call(ctx context.Context, _ node.Name, mod, fun etf.Atom, _ ...etf.Term) (etf.Term, error) {
	if mod != "init" || fun != "stop" {
		return nil, fmt.Errorf("unexpected call of %s:%s", mod, fun)
	}
	if p.callFails == nil || p.initStop > 0 {
		p.end(p.initStop)
	}
	if p.callHangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return etf.Atom("ok"), p.callFails
}

func TestStopping(t *testing.T) {
	t.Parallel()
	lost := &node.DownError{Err: node.ErrNodeDown}
	tests := []struct {
		name    string
		patient patient
		want    []string
		took    time.Duration
		asked   bool
		fails   bool
	}{
		{"gracefully", patient{connected: true, initStop: 3 * time.Second}, []string{"init_stop"}, 3 * time.Second, true, false},
		{"the answer is lost with the node", patient{connected: true, initStop: 100 * time.Millisecond, callFails: lost}, []string{"init_stop"}, 100 * time.Millisecond, false, false},
		{"too busy to answer, but it has heard", patient{connected: true, initStop: 10 * time.Second, callHangs: true}, []string{"init_stop"}, 10 * time.Second, false, false},
		{"hung", patient{connected: true, callHangs: true}, []string{"init_stop still running after 15s", "sigterm still running after 5s", "sigkill"}, 20 * time.Second, false, false},
		{"deaf to init:stop", patient{connected: true, term: time.Second}, []string{"init_stop still running after 15s", "sigterm"}, 16 * time.Second, true, false},
		{"not connected", patient{term: time.Second}, []string{"init_stop not connected", "sigterm"}, time.Second, false, false},
		{"deaf to all", patient{connected: true}, []string{"init_stop still running after 15s", "sigterm still running after 5s", "sigkill"}, 20 * time.Second, true, false},
		{"not to be killed", patient{unkillable: true}, []string{"init_stop not connected", "sigterm still running after 5s", "sigkill context deadline exceeded"}, 15 * time.Second, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := tt.patient
				p.done = make(chan struct{})
				var got []string
				var at time.Time
				killed, asked := 0, false
				s := stopping{
					cluster: &p, timeout: 15 * time.Second, done: p.done,
					asked: func() { asked = true },
					signal: func(sig syscall.Signal) error {
						if sig != syscall.SIGTERM {
							t.Errorf("signal %v", sig)
						}
						p.end(p.term)
						return nil
					},
					killAll: func(ctx context.Context) error {
						killed++
						if p.unkillable {
							<-ctx.Done()
							return ctx.Err()
						}
						return nil
					},
					report: func(st stopStep) {
						if st.At.Before(at) || st.At.IsZero() {
							t.Errorf("%+v began before the step before it", st)
						}
						at = st.At
						text := st.Name
						if st.Error != "" {
							text += " " + st.Error
						}
						got = append(got, text)
					},
				}
				begun := time.Now()
				err := s.run(t.Context())
				if (err != nil) != tt.fails {
					t.Errorf("run: %v", err)
				}
				if took := time.Since(begun); took != tt.took && took != tt.took+200*time.Millisecond {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if !slices.Equal(got, tt.want) || killed != 1 || asked != tt.asked {
					t.Errorf("steps %q, killed %d, asked %v, want %q, 1, %v", got, killed, asked, tt.want, tt.asked)
				}
			})
		})
	}
}

func TestStopping_IsCalledOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := patient{connected: true, done: make(chan struct{})}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s := stopping{cluster: &p, timeout: 15 * time.Second, done: p.done, asked: func() {}, report: func(stopStep) {},
			signal:  func(syscall.Signal) error { t.Error("signalled"); return nil },
			killAll: func(context.Context) error { t.Error("killed"); return nil },
		}
		if err := s.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("run: %v", err)
		}
	})
}
