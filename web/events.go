package web

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// events streams events as server-sent events. The id of each is the event's own, so that a browser that comes back
// with Last-Event-ID misses none and sees none twice.
//
// Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	since, follow, err := eventQuery(r)
	if err != nil {
		respondError(w, err)
		return
	}
	st := &stream{contentType: typeSSE, alive: []byte(": alive\n\n"), head: []byte("retry: 1000\n\n")}
	s.run(st, w, r, func(ctx context.Context) error {
		return s.control.Events(ctx, since, follow, func(e api.Event) bool {
			return ctx.Err() == nil && st.write(appendSSE(nil, e))
		})
	})
}

func eventQuery(r *http.Request) (since uint64, follow bool, err error) {
	v := r.Header.Get("Last-Event-ID")
	if v == "" {
		v = r.FormValue("since")
	}
	if v != "" {
		if since, err = strconv.ParseUint(v, 10, 64); err != nil {
			return 0, false, badQuery("since", v, "the id of an event")
		}
	}
	follow, err = queryBool(r, "follow")
	return since, follow, err
}

func appendSSE(b []byte, e api.Event) []byte {
	data, err := json.Marshal(e)
	if err != nil { // Data holds something that JSON cannot show
		e.Data = nil
		data, _ = json.Marshal(e) // strings and numbers only: cannot fail
	}
	b = append(b, "id: "...)
	b = strconv.AppendUint(b, e.ID, 10)
	b = append(b, "\ndata: "...)
	b = append(b, data...)
	return append(b, "\n\n"...)
}
