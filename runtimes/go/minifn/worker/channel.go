package worker

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
)

const (
	lengthsBytes = 8
	readBytes    = 64 * 1024
	// Bytes of the buffer of waiting frames that is kept for the next ones.
	keptBytes = 256 * 1024
)

// channel is the connection to the server: frames of `u32 header length | u32 body length | header
// | body`, big-endian.
type channel struct {
	file   *os.File
	reader *bufio.Reader
	mutex  sync.Mutex
	// Frames that wait for the end of the batch.
	waiting []byte
	wake    chan struct{}
}

func newChannel(socket int) *channel {
	file := os.NewFile(uintptr(socket), "server")
	c := &channel{
		file:   file,
		reader: bufio.NewReaderSize(file, readBytes),
		wake:   make(chan struct{}, 1),
	}
	go c.flushBatches()
	return c
}

// receive returns the next frame. The process ends with the stream.
func (c *channel) receive() (header []byte, body []byte) {
	var lengths [lengthsBytes]byte
	c.readFull(lengths[:])
	headerLength := binary.BigEndian.Uint32(lengths[:4])
	frame := make([]byte, headerLength+binary.BigEndian.Uint32(lengths[4:]))
	c.readFull(frame)
	return frame[:headerLength:headerLength], frame[headerLength:]
}

func (c *channel) readFull(buffer []byte) {
	if _, err := io.ReadFull(c.reader, buffer); err != nil {
		syscall.Exit(0)
	}
}

// send writes a frame together with those that calls of the same batch send.
func (c *channel) send(header []byte, body []byte) {
	c.mutex.Lock()
	c.add(header, body)
	c.mutex.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// sendNow writes a frame, and those that wait, before it returns.
func (c *channel) sendNow(header []byte, body []byte) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.add(header, body)
	c.flush()
}

// finish writes what waits and ends the process.
func (c *channel) finish() {
	c.mutex.Lock()
	c.flush()
	syscall.Exit(0)
}

func (c *channel) flushBatches() {
	for range c.wake {
		// The calls that were read with the answered one are run first.
		runtime.Gosched()
		c.mutex.Lock()
		c.flush()
		c.mutex.Unlock()
	}
}

func (c *channel) add(header []byte, body []byte) {
	c.waiting = binary.BigEndian.AppendUint32(c.waiting, uint32(len(header)))
	c.waiting = binary.BigEndian.AppendUint32(c.waiting, uint32(len(body)))
	c.waiting = append(c.waiting, header...)
	c.waiting = append(c.waiting, body...)
}

func (c *channel) flush() {
	if len(c.waiting) == 0 {
		return
	}
	if _, err := c.file.Write(c.waiting); err != nil {
		syscall.Exit(0)
	}
	if cap(c.waiting) > keptBytes {
		c.waiting = nil
	}
	c.waiting = c.waiting[:0]
}
