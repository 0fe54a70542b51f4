// Package openruntimes holds the types of a function's handler:
//
//	func Main(Context openruntimes.Context) openruntimes.Response
//
// It has the exported names of types-for-go 4.0.8 by Open Runtimes. Builds put it in that module's
// place.
package openruntimes

// Context is the handler's argument.
type Context struct {
	logger Logger

	Req ContextRequest
	Res ContextResponse
}

// NewContext returns a context whose logs go to a logger.
func NewContext(logger Logger) Context {
	return Context{logger: logger}
}

// Log writes one line to the execution's logs: strings as they are, other values in Go's syntax.
func (c *Context) Log(messages ...interface{}) {
	c.logger.Write(messages, LOGGER_TYPE_LOG, false)
}

// Error writes one line to the execution's errors.
func (c *Context) Error(messages ...interface{}) {
	c.logger.Write(messages, LOGGER_TYPE_ERROR, false)
}
