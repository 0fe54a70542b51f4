package worker

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
)

// Most frames of a stack that are looked at, and that are shown.
const (
	framesMax = 256
	shownMax  = 50
)

// describe returns a panic's reason and the places of the function's own code that led to it.
// Used in the deferred function that recovers.
func describe(reason any, module string) string {
	text := &strings.Builder{}
	text.WriteString("panic: ")
	switch value := reason.(type) {
	case error:
		text.WriteString(value.Error())
	case fmt.Stringer:
		text.WriteString(value.String())
	case string:
		text.WriteString(value)
	default:
		fmt.Fprintf(text, "%#v", value)
	}
	counters := make([]uintptr, framesMax)
	frames := runtime.CallersFrames(counters[:runtime.Callers(2, counters)])
	shown := 0
	for more := true; more && shown < shownMax; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if file, own := ownFile(frame.File, module); own {
			name := frame.Function[strings.LastIndexByte(frame.Function, '/')+1:]
			text.WriteString("\n" + name + "\n\t" + file + ":" + strconv.Itoa(frame.Line))
			shown++
		}
	}
	return text.String()
}

// ownFile returns the path of a file of the function, relative to its module, or that of a
// package it uses. Files of Go itself and of the worker are none.
func ownFile(file string, module string) (string, bool) {
	if relative, own := strings.CutPrefix(file, module+"/"); own {
		return relative, true
	}
	domain, _, _ := strings.Cut(file, "/")
	ours := strings.HasPrefix(file, "0.minifn@") ||
		strings.HasPrefix(file, "github.com/open-runtimes/types-for-go/")
	return file, strings.Contains(domain, ".") && !ours && !strings.HasSuffix(domain, ".go")
}
