package openruntimes

import (
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const LOGGER_TYPE_LOG = "log"
const LOGGER_TYPE_ERROR = "error"

const (
	lineLimit    = 8000
	truncated    = "... Log truncated due to size limit (8000 characters)"
	nativeNotice = "Native logs detected. Use context.log() or context.error() for better experience."
)

// Log is a message for Context.Log.
type Log struct {
	Message string
}

func (l Log) String() string {
	return l.Message
}

// Logger writes the lines of one execution.
type Logger struct {
	Enabled bool
	Id      string
	// IncludesNativeInfo tells whether printed output was announced already.
	IncludesNativeInfo bool

	// Sink takes each line, which ends with a newline, and LOGGER_TYPE_LOG or LOGGER_TYPE_ERROR.
	// Without it, lines go to the streams.
	Sink func(line string, xtype string)

	StreamLogs   *os.File
	StreamErrors *os.File

	// The following fields are those of types-for-go, where a logger captures printed output. Here
	// the worker captures it, and they are not used.
	NativeStreamLogs   chan string
	NativeStreamErrors chan string
	WriterLogs         *os.File
	WriterErrors       *os.File
	NativeLogsCache    *os.File
	NativeErrorsCache  *os.File
}

// NewLogger returns a logger that prints. It is enabled when the status is "" or "enabled".
func NewLogger(status string, id string) (Logger, error) {
	logger := Logger{Enabled: status == "" || status == "enabled"}
	if !logger.Enabled {
		return logger, nil
	}
	logger.StreamLogs, logger.StreamErrors = os.Stdout, os.Stderr
	switch {
	case id != "":
		logger.Id = id
	case os.Getenv("OPEN_RUNTIMES_ENV") == "development":
		logger.Id = "dev"
	default:
		logger.Id = strconv.FormatInt(time.Now().UnixMicro(), 16)
		logger.Id += fmt.Sprintf("%07x", rand.Intn(1<<28))
	}
	return logger, nil
}

// Write writes one line; with `xnative`, a notice comes before the first.
func (l *Logger) Write(messages []interface{}, xtype string, xnative bool) {
	if !l.Enabled {
		return
	}
	if xnative && !l.IncludesNativeInfo {
		l.IncludesNativeInfo = true
		l.put(nativeNotice, xtype)
	}
	l.put(line(messages), xtype)
}

// End ends the logger: later lines are dropped.
func (l *Logger) End() {
	l.Enabled = false
}

// OverrideNativeLogs does nothing, because the worker captures what is printed.
func (l *Logger) OverrideNativeLogs() error {
	return nil
}

// RevertNativeLogs does nothing.
func (l *Logger) RevertNativeLogs() {}

func (l *Logger) put(line string, xtype string) {
	line = truncate(line) + "\n"
	stream := l.StreamLogs
	if xtype == LOGGER_TYPE_ERROR {
		stream = l.StreamErrors
	}
	if l.Sink != nil {
		l.Sink(line, xtype)
	} else if stream != nil {
		stream.WriteString(line)
	}
}

func line(messages []interface{}) string {
	if len(messages) == 1 {
		return text(messages[0])
	}
	parts := make([]string, len(messages))
	for i, message := range messages {
		parts[i] = text(message)
	}
	return strings.Join(parts, " ")
}

func text(message interface{}) string {
	switch value := message.(type) {
	case string:
		return value
	case Log:
		return value.String()
	}
	return fmt.Sprintf("%#v", message)
}

// truncate returns a line, cut to the 8,000 characters that a log keeps.
func truncate(line string) string {
	if len(line) <= lineLimit || utf8.RuneCountInString(line) <= lineLimit {
		return line
	}
	characters := 0
	for at := range line {
		if characters == lineLimit {
			return line[:at] + truncated
		}
		characters++
	}
	return line
}
