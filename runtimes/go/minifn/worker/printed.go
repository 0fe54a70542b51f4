package worker

import (
	"bytes"
	"syscall"

	"0.minifn/first"
	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

// Bytes that are kept of a line that has no end yet: more than the logs show.
const lineBytes = 64 * 1024

// printed makes log lines of what the function prints to one file. All calls share the file: while
// several are in flight, a line counts for the one that began last. Used within first.Drain.
type printed struct {
	// The beginning of a line, and its call.
	line  []byte
	owner *call
}

// captureOutput logs what is printed from now on. Used with a call in flight, which gets what was
// printed before.
func (w *worker) captureOutput() {
	first.Deliver(w.takePrinted)
	first.OnExit = func() {
		first.Drain(func() { w.endLines(nil) })
	}
}

// endPrinted logs all that was printed before, with the call's last line.
func (c *call) endPrinted() {
	first.Drain(func() { c.worker.endLines(c) })
}

// endLines logs the lines without an end of one call, nil for all calls.
func (w *worker) endLines(c *call) {
	for i := range w.printed {
		p := &w.printed[i]
		if p.owner != nil && (c == nil || p.owner == c) {
			p.endLine(i + 1)
		}
	}
}

func (w *worker) takePrinted(descriptor int, text []byte) {
	p := &w.printed[descriptor-1]
	for len(text) > 0 {
		if p.owner == nil {
			p.owner = w.newest()
		}
		if p.owner == nil {
			syscall.Write(descriptor, text)
			return
		}
		line, rest, ended := bytes.Cut(text, []byte{'\n'})
		if len(p.line) < lineBytes {
			p.line = append(p.line, line...)
		}
		if ended {
			p.endLine(descriptor)
		}
		text = rest
	}
}

func (p *printed) endLine(descriptor int) {
	xtype := openruntimes.LOGGER_TYPE_LOG
	if descriptor == syscall.Stderr {
		xtype = openruntimes.LOGGER_TYPE_ERROR
	}
	p.owner.native.Write([]interface{}{string(p.line)}, xtype, true)
	p.line, p.owner = p.line[:0], nil
}
