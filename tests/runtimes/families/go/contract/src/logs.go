package handler

import (
	"fmt"
	"strings"
	"time"

	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

var logs = map[string]route{
	"/log-values": func(Context openruntimes.Context) openruntimes.Response {
		Context.Log("text", 1, []any{1, map[string]any{"a": "b"}}, true)
		Context.Error("broken", map[string]any{"code": 5})
		Context.Log()
		return res.Empty()
	},
	"/log-order": func(Context openruntimes.Context) openruntimes.Response {
		for number := 0; number < 100; number++ {
			Context.Log("log", number)
			Context.Error("error", number)
		}
		return res.Empty()
	},
	"/log-native": func(Context openruntimes.Context) openruntimes.Response {
		Context.Log("before")
		fmt.Println("printed 1")
		fmt.Println("printed 2")
		Context.Log("after")
		return res.Empty()
	},
	"/native-raise": func(openruntimes.Context) openruntimes.Response {
		fmt.Println("printed")
		panic("went wrong")
	},
	"/log-long": func(Context openruntimes.Context) openruntimes.Response {
		Context.Log(strings.Repeat("x", 8000))
		Context.Log(strings.Repeat("y", 8001))
		return res.Empty()
	},
	"/log-flood": func(Context openruntimes.Context) openruntimes.Response {
		for line := 0; line < 1400; line++ {
			Context.Log(strings.Repeat("z", 8000))
		}
		return res.Empty()
	},
	"/log-endless": func(Context openruntimes.Context) openruntimes.Response {
		for {
			Context.Log(strings.Repeat("z", 8000))
		}
	},
	"/log-late": func(Context openruntimes.Context) openruntimes.Response {
		time.AfterFunc(20*time.Millisecond, func() { Context.Log("late") })
		return res.Empty()
	},
}
