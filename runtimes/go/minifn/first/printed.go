package first

import (
	"os"
	"sync"
	"syscall"
)

const (
	readBytes = 16 * 1024
	// Bytes that are kept of what is printed before the first request.
	keptLimit = 64 * 1024
)

// stream is a pipe in the place of os.Stdout or os.Stderr.
type stream struct {
	fd   int
	kept []byte
}

var printed = struct {
	sync.Mutex
	streams [2]stream
	buffer  []byte
	take    func(descriptor int, text []byte)
}{buffer: make([]byte, readBytes)}

// originals are the files that the pipes replace. Go closes the descriptors of files that nothing
// refers to, and the runtime writes its last words to descriptor 2.
var originals [2]*os.File

// capture puts pipes into the place of os.Stdout and os.Stderr.
func capture() {
	for i, file := range []**os.File{&os.Stdout, &os.Stderr} {
		reading, writing, err := os.Pipe()
		if err != nil {
			panic(err)
		}
		connection, err := reading.SyscallConn()
		if err != nil {
			panic(err)
		}
		connection.Control(func(fd uintptr) { printed.streams[i].fd = int(fd) })
		originals[i], *file = *file, writing
		go connection.Read(func(uintptr) bool {
			Drain(func() {})
			return false
		})
	}
}

// Deliver has `take` called with all that is printed, first with what was printed before, and the
// descriptor whose place the pipe has. One call is made at a time.
func Deliver(take func(descriptor int, text []byte)) {
	printed.Lock()
	defer printed.Unlock()
	printed.take = take
	for i := range printed.streams {
		take(i+1, printed.streams[i].kept)
		printed.streams[i].kept = nil
	}
}

// Drain delivers what was printed until now and then calls `end`, before more is delivered.
func Drain(end func()) {
	printed.Lock()
	defer printed.Unlock()
	for i := range printed.streams {
		printed.streams[i].drain(i + 1)
	}
	end()
}

func (s *stream) drain(descriptor int) {
	for {
		count, err := syscall.Read(s.fd, printed.buffer)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || count <= 0 {
			return
		}
		text := printed.buffer[:count]
		if printed.take != nil {
			printed.take(descriptor, text)
		} else if len(s.kept) < keptLimit {
			s.kept = append(s.kept, text...)
		}
	}
}
