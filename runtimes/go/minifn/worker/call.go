package worker

import (
	"strconv"
	"sync"
	"time"

	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

const timedOut = "Execution timed out."

// call is one request in flight.
type call struct {
	id     int
	worker *worker
	logger openruntimes.Logger
	// Logs what is printed during the call.
	native openruntimes.Logger

	mutex sync.Mutex
	done  bool
}

func newCall(w *worker, frame *requestFrame) *call {
	c := &call{id: frame.Id, worker: w}
	c.logger = openruntimes.Logger{
		Enabled: frame.Logging,
		Id:      strconv.Itoa(frame.Id),
		Sink:    c.write,
	}
	c.native = openruntimes.Logger{Enabled: frame.Logging, Sink: c.send}
	return c
}

// run runs the handler and answers.
func (c *call) run(frame *requestFrame, body []byte) {
	if frame.Timeout > 0 {
		timeout := time.Duration(frame.Timeout * float64(time.Second))
		defer time.AfterFunc(timeout, c.timeOut).Stop()
	}
	ended := false
	defer func() {
		if reason := recover(); reason != nil {
			c.fail(describe(reason, c.worker.module))
		} else if !ended {
			c.fail("The function ended its goroutine instead of returning.")
		}
	}()
	context := openruntimes.NewContext(c.logger)
	context.Req = makeRequest(frame, body, c.worker.enforced)
	response := c.worker.handler(context)
	ended = true
	c.finish(&response)
}

func (c *call) finish(response *openruntimes.Response) {
	headers, err := readResponse(response)
	if err != nil {
		c.fail(err.Error())
		return
	}
	c.answer(response.StatusCode, headers, response.Body, "")
}

func (c *call) fail(message string) {
	c.logger.Write([]interface{}{message}, openruntimes.LOGGER_TYPE_ERROR, false)
	c.answer(500, nil, nil, "")
}

// timeOut answers for the handler, whose goroutine cannot be stopped.
func (c *call) timeOut() {
	c.logger.Write([]interface{}{timedOut}, openruntimes.LOGGER_TYPE_ERROR, false)
	c.answer(500, nil, nil, `,"failure":"timeout","stuck":true`)
}

// write sends one line of the logs, after what was printed before it.
func (c *call) write(line string, xtype string) {
	c.endPrinted()
	c.send(line, xtype)
}

func (c *call) send(line string, xtype string) {
	stream := "logs"
	if xtype == openruntimes.LOGGER_TYPE_ERROR {
		stream = "errors"
	}
	header := append(make([]byte, 0, 64), `{"type":"log","id":`...)
	header = strconv.AppendInt(header, int64(c.id), 10)
	header = append(append(append(header, `,"stream":"`...), stream...), `"}`...)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if !c.done {
		c.worker.channel.sendNow(header, []byte(line))
	}
}

// answer answers once; `more` has further members of the frame's header.
func (c *call) answer(statusCode int, headers []byte, body []byte, more string) {
	c.endPrinted()
	header := append(make([]byte, 0, 96+len(headers)), `{"type":"response","id":`...)
	header = strconv.AppendInt(header, int64(c.id), 10)
	header = append(header, `,"statusCode":`...)
	header = strconv.AppendInt(header, int64(statusCode), 10)
	header = append(append(append(header, `,"headers":[`...), headers...), ']')
	header = append(append(header, more...), '}')
	c.mutex.Lock()
	known := !c.done
	c.done = true
	if known {
		c.worker.channel.send(header, body)
	}
	c.mutex.Unlock()
	if known {
		c.worker.forget(c)
	}
}
