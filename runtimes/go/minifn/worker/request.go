package worker

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

// requestFrame is the header of a frame from the server.
type requestFrame struct {
	Type    string
	Id      int
	Method  string
	Scheme  string
	Host    string
	Port    int
	Path    string
	Query   string
	Headers map[string]string
	Timeout float64
	Logging bool
}

// makeRequest returns the handler's request; `enforced` headers replace the caller's.
func makeRequest(
	frame *requestFrame, body []byte, enforced map[string]string,
) openruntimes.ContextRequest {
	if frame.Headers == nil {
		frame.Headers = map[string]string{}
	}
	for name, value := range enforced {
		frame.Headers[name] = value
	}
	path, err := url.PathUnescape(frame.Path)
	if err != nil {
		path = frame.Path
	}
	request := openruntimes.ContextRequest{
		Headers:     frame.Headers,
		Method:      frame.Method,
		Url:         requestUrl(frame, path),
		Path:        path,
		Port:        frame.Port,
		Scheme:      frame.Scheme,
		Host:        frame.Host,
		QueryString: frame.Query,
		Query:       parseQuery(frame.Query),
	}
	request.SetBodyBinary(body)
	return request
}

func requestUrl(frame *requestFrame, path string) string {
	text := frame.Scheme + "://" + frame.Host
	if (frame.Scheme == "https" && frame.Port != 443) || (frame.Scheme != "https" && frame.Port != 80) {
		text += ":" + strconv.Itoa(frame.Port)
	}
	text += path
	if frame.Query != "" {
		text += "?" + frame.Query
	}
	return text
}

// parseQuery returns the first value of each key. Text that cannot be decoded stays as it is.
func parseQuery(text string) map[string]string {
	query := map[string]string{}
	for _, pair := range strings.Split(text, "&") {
		key, value, _ := strings.Cut(pair, "=")
		key = unescape(key)
		if _, known := query[key]; key != "" && !known {
			query[key] = unescape(value)
		}
	}
	return query
}

func unescape(text string) string {
	if decoded, err := url.QueryUnescape(text); err == nil {
		return decoded
	}
	return text
}

// enforcedHeaders returns the headers of a JSON object, none when the text is not one.
func enforcedHeaders(text string) map[string]string {
	var values map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &values) != nil {
		return nil
	}
	headers := map[string]string{}
	for name, value := range values {
		text := string(value)
		json.Unmarshal(value, &text)
		headers[strings.ToLower(name)] = text
	}
	return headers
}
