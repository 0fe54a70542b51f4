// Package worker reads requests from the inherited socket, runs the handler and answers. Each
// request has a goroutine.
package worker

import (
	"encoding/json"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"

	"0.minifn/first"
	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

// Divisor of the function's memory that gives the largest stack: recursion without end is then
// reported before the memory is used up.
const stackShare = 4

// Sent after the function's init functions: a panic in one of them is why the worker cannot start.
const ready = `{"type":"ready","protocol":1,"concurrency":0}`

// Handler is the function.
type Handler func(openruntimes.Context) openruntimes.Response

// worker is one process and its calls in flight.
type worker struct {
	channel  *channel
	handler  Handler
	module   string
	enforced map[string]string
	printed  [2]printed
	output   sync.Once

	mutex    sync.Mutex
	calls    map[int]*call
	stopping bool
}

// Serve runs the handler until the server stops the process. Stack traces show the files of
// `module`, the function's own.
func Serve(handler Handler, module string) {
	if megabytes, err := strconv.Atoi(os.Getenv("OPEN_RUNTIMES_MEMORY")); err == nil {
		debug.SetMaxStack(megabytes << 20 / stackShare)
	}
	w := &worker{
		channel:  newChannel(first.Socket),
		handler:  handler,
		module:   module,
		enforced: enforcedHeaders(os.Getenv("OPEN_RUNTIMES_HEADERS")),
		calls:    map[int]*call{},
	}
	w.channel.sendNow([]byte(ready), nil)
	for {
		header, body := w.channel.receive()
		var frame requestFrame
		if json.Unmarshal(header, &frame) != nil {
			syscall.Exit(1)
		}
		// A canceled call cannot be stopped. It answers when its handler returns.
		switch frame.Type {
		case "request":
			w.begin(&frame, body)
		case "stop":
			w.stop()
		}
	}
}

func (w *worker) begin(frame *requestFrame, body []byte) {
	c := newCall(w, frame)
	w.mutex.Lock()
	w.calls[c.id] = c
	w.mutex.Unlock()
	w.output.Do(w.captureOutput)
	go c.run(frame, body)
}

func (w *worker) stop() {
	w.mutex.Lock()
	w.stopping = true
	idle := len(w.calls) == 0
	w.mutex.Unlock()
	if idle {
		w.channel.finish()
	}
}

// forget removes an answered call.
func (w *worker) forget(c *call) {
	w.mutex.Lock()
	delete(w.calls, c.id)
	last := w.stopping && len(w.calls) == 0
	w.mutex.Unlock()
	if last {
		w.channel.finish()
	}
}

// newest returns the call in flight that began last, nil without any.
func (w *worker) newest() *call {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var newest *call
	for _, c := range w.calls {
		if newest == nil || c.id > newest.id {
			newest = c
		}
	}
	return newest
}
