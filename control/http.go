package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Bounds of what a client may send.
const (
	bodyMax  = 16 << 20 // a storm of notified paths
	pathsMax = 100_000
)

// Handler serves the protocol for b.
func Handler(b Backend) http.Handler {
	h := &handler{b}
	mux := http.NewServeMux()
	for verb := range verbs {
		mux.HandleFunc("POST /v1/"+string(verb), answer(func(r *http.Request) (any, error) { return h.command(r, verb) }))
	}
	for route, f := range map[string]func(*http.Request) (any, error){
		"GET /v1/status":           h.status,
		"POST /v1/wait":            h.wait,
		"POST /v1/notify":          h.notify,
		"POST /v1/explain":         h.explain,
		"GET /v1/runs":             h.runs,
		"GET /v1/runs/{id}":        h.run,
		"GET /v1/runs/{id}/output": h.output,
		"GET /v1/batches":          h.batches,
	} {
		mux.HandleFunc(route, answer(f))
	}
	mux.HandleFunc("GET /v1/events", h.events)
	mux.HandleFunc("GET /v1/metrics", h.metrics)
	mux.HandleFunc("/", answer(func(r *http.Request) (any, error) {
		return nil, &Error{Status: http.StatusNotFound, Msg: r.Method + " " + r.URL.Path + ": there is no such request", Help: "see docs/api.md"}
	}))
	return mux
}

type handler struct{ b Backend }

// answer makes of a function an HTTP handler: its result or its error as JSON.
func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
		v, err := f(r)
		if err != nil {
			refuse(w, err)
			return
		}
		respond(w, http.StatusOK, v)
	}
}

func respond(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // whoever does not listen any more is not told
}

// refuse answers with an error and the status that fits it.
func refuse(w http.ResponseWriter, err error) {
	var told *Error
	if !errors.As(err, &told) {
		told = &Error{Msg: err.Error()}
		var h interface{ Hint() string }
		if errors.As(err, &h) {
			told.Help = h.Hint()
		}
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			told.Status = http.StatusGatewayTimeout
		}
	}
	code := told.Status
	if code < 400 || code > 599 {
		code = http.StatusInternalServerError
	}
	respond(w, code, told)
}

func bad(format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Msg: fmt.Sprintf(format, args...), Help: "see docs/api.md"}
}

// body reads the request's one JSON object; without a body v stays as it is.
func body(r *http.Request, v any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return bad("body: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return bad("body: more than one JSON value")
	}
	return nil
}

func (h *handler) status(r *http.Request) (any, error) {
	return h.b.Status(r.Context(), r.URL.Query()["rule"])
}

func (h *handler) command(r *http.Request, verb Verb) (any, error) {
	c := Command{Verb: verb}
	if err := body(r, &c); err != nil {
		return nil, err
	}
	switch {
	case verbs[verb] && len(c.Rules) == 0:
		return nil, bad("%s: no rules named", verb)
	case len(c.Paths) > 0 && len(c.PathsB64) > 0:
		return nil, bad("paths and paths_b64: choose one")
	case verb != Trigger && len(c.Paths)+len(c.PathsB64) > 0:
		return nil, bad("%s: paths are for trigger", verb)
	case len(c.Paths)+len(c.PathsB64) > pathsMax:
		return nil, bad("more than %d paths", pathsMax)
	}
	c.Paths = append(c.Paths, fromBytes(c.PathsB64)...)
	if err := h.b.Do(r.Context(), c); err != nil {
		return nil, err
	}
	return struct{}{}, nil
}

// waitRequest is the body of a wait.
type waitRequest struct {
	Rules     []string `json:"rules,omitempty"`
	TimeoutMS int64    `json:"timeout_ms,omitempty"` // 0: none
}

// timeoutMax is where a time-out in milliseconds is as good as none.
const timeoutMax = int64(24*time.Hour*365) / int64(time.Millisecond)

func (h *handler) wait(r *http.Request) (any, error) {
	var req waitRequest
	if err := body(r, &req); err != nil {
		return nil, err
	}
	if req.TimeoutMS < 0 {
		return nil, bad("timeout_ms: %d is negative", req.TimeoutMS)
	}
	ctx := r.Context()
	if req.TimeoutMS > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(min(req.TimeoutMS, timeoutMax))*time.Millisecond)
		defer cancel()
	}
	return h.b.Wait(ctx, req.Rules)
}

type notifyRequest struct {
	Changes []Change `json:"changes"`
}

type notifyReply struct {
	Taken int `json:"taken"`
}

func (h *handler) notify(r *http.Request) (any, error) {
	var req notifyRequest
	if err := body(r, &req); err != nil {
		return nil, err
	}
	if len(req.Changes) > pathsMax {
		return nil, bad("more than %d changes", pathsMax)
	}
	n, err := h.b.Notify(r.Context(), req.Changes)
	return notifyReply{n}, err
}

type explainRequest struct {
	Paths    []string `json:"paths,omitempty"`
	PathsB64 [][]byte `json:"paths_b64,omitempty"` // in the place of Paths, where not all are UTF-8
	Brief    bool     `json:"brief,omitempty"`     // only what happened, not what rules make of it
}

type explainReply struct {
	Paths []Explanation `json:"paths"`
}

func (h *handler) explain(r *http.Request) (any, error) {
	var req explainRequest
	if err := body(r, &req); err != nil {
		return nil, err
	}
	switch {
	case len(req.Paths) > 0 && len(req.PathsB64) > 0:
		return nil, bad("paths and paths_b64: choose one")
	case len(req.Paths)+len(req.PathsB64) > pathsMax:
		return nil, bad("more than %d paths", pathsMax)
	}
	list, err := h.b.Explain(r.Context(), append(req.Paths, fromBytes(req.PathsB64)...), req.Brief)
	return explainReply{list}, err
}

type runsReply struct {
	Runs []Run `json:"runs"`
}

func (h *handler) runs(r *http.Request) (any, error) {
	list, err := h.b.Runs(r.Context())
	return runsReply{list}, err
}

func (h *handler) run(r *http.Request) (any, error) {
	id, err := number(r.PathValue("id"), "run")
	if err != nil {
		return nil, err
	}
	list, err := h.b.Runs(r.Context())
	if err != nil {
		return nil, err
	}
	for _, run := range list {
		if run.Run == id {
			return run, nil
		}
	}
	return nil, NoRun(id)
}

// NoRun says that a run is not remembered.
func NoRun(id uint64) error {
	return &Error{Status: http.StatusNotFound, Msg: fmt.Sprintf("run %d is not remembered", id), Help: "flinch logs --why lists those that are"}
}

func (h *handler) output(r *http.Request) (any, error) {
	id, err := number(r.PathValue("id"), "run")
	if err != nil {
		return nil, err
	}
	return h.b.Output(r.Context(), id)
}

type batchesReply struct {
	Batches []Batch `json:"batches"`
}

func (h *handler) batches(r *http.Request) (any, error) {
	list, err := h.b.Batches(r.Context())
	return batchesReply{list}, err
}

func number(text, what string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, bad("%s: %q is no number", what, text)
	}
	return n, nil
}

// events streams as server-sent events. A client that reads nothing is given up
// after stallMax: the backend has bounded what waits for it before that.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	since := Live
	if text := cmp.Or(r.URL.Query().Get("since"), r.Header.Get("Last-Event-ID")); text != "" {
		var err error
		if since, err = number(text, "since"); err != nil {
			refuse(w, err)
			return
		}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	_ = out.Flush()
	_ = h.b.Follow(r.Context(), since, func(e Event) error {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		_ = out.SetWriteDeadline(time.Now().Add(stallMax))
		if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Kind, data); err != nil {
			return err
		}
		return out.Flush()
	})
}

// stallMax is how long a client of a stream may read nothing.
const stallMax = 10 * time.Minute

func (h *handler) metrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_ = h.b.Metrics(r.Context(), w)
}
