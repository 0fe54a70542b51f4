package worker

import (
	"fmt"
	"sort"
	"strings"

	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

const (
	bodyLimit = 20 * 1024 * 1024
	// Most bytes of headers; escaped in a frame's header, which has its own limit, they may double.
	headersLimit = 512*1024 - 64
	headersMax   = 1000
	// Bytes that JSON adds to a name and a value.
	pairBytes = 8
)

// readResponse completes a handler's response and returns its headers as the JSON pairs of a frame.
// The error is for the function's author.
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
	count, size := 0, 0
	for _, name := range names {
		if !isName(name) {
			return nil, fmt.Errorf("The response's header name %q is invalid.", name)
		}
		values := []string{headers[name]}
		if strings.EqualFold(name, "set-cookie") {
			values = strings.Split(headers[name], "\n")
		}
		for _, value := range values {
			if !isValue(value) {
				return nil, fmt.Errorf("The response's header %s has an invalid value.", name)
			}
			if count > 0 {
				pairs = append(pairs, ',')
			}
			count++
			size += len(name) + len(value) + pairBytes
			if count <= headersMax && size <= headersLimit {
				pairs = appendPair(pairs, name, value)
			}
		}
	}
	if count > headersMax {
		return nil, fmt.Errorf("The response has %d headers, the limit is %d.", count, headersMax)
	}
	if size > headersLimit {
		return nil, fmt.Errorf(
			"The response's headers have %d bytes, the limit is %d.", size, headersLimit)
	}
	return pairs, nil
}

func isName(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && strings.IndexByte("!#$%&'*+.^_`|~-", c) < 0 {
			return false
		}
	}
	return name != ""
}

// isValue tells whether all characters are printable and part of Latin-1.
func isValue(value string) bool {
	for _, c := range value {
		if c != '\t' && (c < ' ' || c > 0xff || c == 0x7f) {
			return false
		}
	}
	return true
}

func appendPair(pairs []byte, name string, value string) []byte {
	pairs = append(append(pairs, '[', '"'), name...)
	pairs = append(pairs, '"', ',', '"')
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case '"', '\\':
			pairs = append(pairs, '\\', c)
		case '\t':
			pairs = append(pairs, '\\', 't')
		default:
			pairs = append(pairs, c)
		}
	}
	return append(pairs, '"', ']')
}
