package handler

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

var (
	mark  = strconv.FormatInt(time.Now().UnixNano(), 10)
	calls atomic.Int64
)

func overflow(depth int) int {
	if depth < 0 {
		return 0
	}
	return overflow(depth+1) + 1
}

func wait(query string, unit time.Duration) {
	count, _ := strconv.ParseFloat(query, 64)
	time.Sleep(time.Duration(count * float64(unit)))
}

var failures = map[string]route{
	"/state": func(openruntimes.Context) openruntimes.Response {
		return res.Json(map[string]any{"calls": calls.Add(1), "worker": mark})
	},
	"/exit": func(Context openruntimes.Context) openruntimes.Response {
		Context.Log("called")
		syscall.Write(2, []byte("last words\n"))
		os.Exit(7)
		return res.Empty()
	},
	"/overflow": func(openruntimes.Context) openruntimes.Response {
		return res.Text(fmt.Sprint(overflow(1)))
	},
	"/memory": func(openruntimes.Context) openruntimes.Response {
		for kept := [][]byte{}; ; {
			block := make([]byte, mib)
			for i := range block {
				block[i] = 1
			}
			kept = append(kept, block)
		}
	},
	"/sleep": func(Context openruntimes.Context) openruntimes.Response {
		Context.Log("begun")
		wait(Context.Req.QueryString, time.Second)
		return res.Text(mark)
	},
	"/never": func(Context openruntimes.Context) openruntimes.Response {
		Context.Log("begun")
		select {}
	},
	"/spin": func(Context openruntimes.Context) openruntimes.Response {
		Context.Log("begun")
		for {
		}
	},
	"/echo": func(Context openruntimes.Context) openruntimes.Response {
		body := Context.Req.BodyText()
		Context.Log("first", body)
		Context.Error("error", body)
		wait(Context.Req.QueryString, time.Millisecond)
		Context.Log("second", body)
		return res.Text(body)
	},
}
