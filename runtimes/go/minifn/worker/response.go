package worker

import (
	"fmt"
	"sort"
	"strings"

	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

const (
	bodyLimit  = 20 * 1024 * 1024
	headersMax = 1000
	// Most bytes of headers in a frame's header, which has a limit of 1 MiB.
	headersLimit = 1024*1024 - 1024
)

// readResponse completes a handler's response and returns its headers as the JSON pairs of a frame.
// The error is for the function's author. The server drops headers that HTTP does not allow.
func readResponse(response *openruntimes.Response) ([]byte, error) {
	if response.StatusCode == 0 {
		response.StatusCode = 200
	}
	if response.StatusCode < 100 || response.StatusCode > 999 {
		return nil, fmt.Errorf(
			"The response's status code %d is not between 100 and 999.", response.StatusCode)
	}
	if len(response.Body) > bodyLimit {
		return nil, fmt.Errorf(
			"The response's body has %d bytes, the limit is %d.", len(response.Body), bodyLimit)
	}
	return readHeaders(response.Headers)
}

func readHeaders(headers map[string]string) ([]byte, error) {
	if len(headers) == 0 {
		return nil, nil
	}
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	// The server remembers headers that it has read before.
	sort.Strings(names)
	var pairs []byte
	count := 0
	for _, name := range names {
		values := []string{headers[name]}
		if strings.EqualFold(name, "set-cookie") {
			values = strings.Split(headers[name], "\n")
		}
		for _, value := range values {
			if count > 0 {
				pairs = append(pairs, ',')
			}
			pairs = appendString(append(pairs, '['), name)
			pairs = append(appendString(append(pairs, ','), value), ']')
			count++
		}
	}
	if count > headersMax {
		return nil, fmt.Errorf("The response has %d headers, the limit is %d.", count, headersMax)
	}
	if len(pairs) > headersLimit {
		return nil, fmt.Errorf(
			"The response's headers have %d bytes, the limit is %d.", len(pairs), headersLimit)
	}
	return pairs, nil
}

// appendString appends a JSON string.
func appendString(json []byte, text string) []byte {
	const digits = "0123456789abcdef"
	json = append(json, '"')
	text = strings.ToValidUTF8(text, "\uFFFD")
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			json = append(json, '\\', c)
		case c < ' ':
			json = append(json, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			json = append(json, c)
		}
	}
	return append(json, '"')
}
