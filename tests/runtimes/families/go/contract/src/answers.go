package handler

import (
	"fmt"
	"strings"

	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

const mib = 1024 * 1024

var res openruntimes.ContextResponse

// headers returns an option from names and values in turn.
func headers(words ...string) openruntimes.ResponseOption {
	found := map[string]string{}
	for i := 0; i < len(words); i += 2 {
		found[words[i]] = words[i+1]
	}
	return res.WithHeaders(found)
}

// text returns a route that answers a text.
func text(body string, options ...openruntimes.ResponseOption) route {
	return func(openruntimes.Context) openruntimes.Response { return res.Text(body, options...) }
}

var answers = map[string]route{
	"/text":     text("héllo"),
	"/text-201": text("made", res.WithStatusCode(201), headers("X-Kept", "yes")),
	"/json": func(openruntimes.Context) openruntimes.Response {
		value := map[string]any{"text": "é", "list": []any{"a", nil, true}, "empty": []any{}}
		return res.Json(value, res.WithStatusCode(201), headers("Content-Type", "text/html"))
	},
	"/binary": func(openruntimes.Context) openruntimes.Response {
		bytes := make([]byte, 256)
		for i := range bytes {
			bytes[i] = byte(i)
		}
		return res.Binary(bytes)
	},
	"/empty": func(openruntimes.Context) openruntimes.Response { return res.Empty() },
	"/send": func(openruntimes.Context) openruntimes.Response {
		return res.Send("sent", res.WithStatusCode(203))
	},
	"/redirect": func(openruntimes.Context) openruntimes.Response {
		return res.Redirect("https://example.com/a?b=c")
	},
	"/redirect-302": func(openruntimes.Context) openruntimes.Response {
		return res.Redirect("/there", res.WithStatusCode(302), headers("x-why", "moved"))
	},
	"/html":      text("<p>", headers("Content-Type", "Text/HTML")),
	"/charset":   text("x", headers("content-type", "text/html; charset=ISO-8859-1")),
	"/multipart": text("x", headers("content-type", "multipart/form-data; boundary=AbC")),
	"/hidden":    text("x", headers("X-Open-Runtimes-Secret", "1", "x-seen", "2")),
	"/cookies":   text("x", headers("set-cookie", "a=1\nb=2")),
	"/number":    text("x", headers("x-number", fmt.Sprint(5))),
	"/injection": text("x", headers("x-bad", "a\r\nx-evil: 1", "x-good", "1")),
	"/handmade": func(openruntimes.Context) openruntimes.Response {
		return openruntimes.Response{Body: []byte("made"), StatusCode: 202}
	},
	"/other-keys": func(openruntimes.Context) openruntimes.Response {
		return openruntimes.Response{}
	},
	"/not-modified": text("dropped", res.WithStatusCode(304)),
	"/twice": func(openruntimes.Context) openruntimes.Response {
		res.Text("first")
		return res.Text("second")
	},
	"/status-99": text("x", res.WithStatusCode(99)),
	"/large": func(openruntimes.Context) openruntimes.Response {
		return res.Binary(make([]byte, 20*mib))
	},
	"/too-large": func(openruntimes.Context) openruntimes.Response {
		return res.Binary(make([]byte, 20*mib+1))
	},
	"/many-headers": func(Context openruntimes.Context) openruntimes.Response {
		var count, length int
		fmt.Sscanf(Context.Req.QueryString, "%d,%d", &count, &length)
		found := map[string]string{}
		for i := 0; i < count; i++ {
			found[fmt.Sprintf("x-%d", i)] = strings.Repeat(`"`, length)
		}
		return res.Text("x", res.WithHeaders(found))
	},
}
