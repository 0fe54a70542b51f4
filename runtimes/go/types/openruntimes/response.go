package openruntimes

import (
	"encoding/json"
	"strings"
)

// Response is the handler's result. A StatusCode of 0 means 200.
type Response struct {
	Body       []byte
	StatusCode int
	// Headers may have several cookies in `set-cookie`, one a line.
	Headers map[string]string
}

// New returns a copy of the response.
func (r Response) New() *Response {
	return &r
}

// ResponseOption changes a response that a method of ContextResponse makes.
type ResponseOption func(*Response)

// ContextResponse makes responses. Only the one that the handler returns is sent.
type ContextResponse struct{}

// WithHeaders sets the response's headers.
func (r ContextResponse) WithHeaders(headers map[string]string) ResponseOption {
	return func(o *Response) { o.Headers = headers }
}

// WithStatusCode sets the response's status code.
func (r ContextResponse) WithStatusCode(statusCode int) ResponseOption {
	return func(o *Response) { o.StatusCode = statusCode }
}

// Binary responds with bytes.
func (r ContextResponse) Binary(bytes []byte, optionalSetters ...ResponseOption) Response {
	return respond(bytes, 200, optionalSetters)
}

// Text responds with text.
func (r ContextResponse) Text(body string, optionalSetters ...ResponseOption) Response {
	return respond([]byte(body), 200, optionalSetters)
}

// Send is Text.
//
// Deprecated: use Text, Json or Binary.
func (r ContextResponse) Send(body string, optionalSetters ...ResponseOption) Response {
	return r.Text(body, optionalSetters...)
}

// Json responds with a value as JSON.
func (r ContextResponse) Json(bodyStruct interface{}, optionalSetters ...ResponseOption) Response {
	body, err := json.Marshal(bodyStruct)
	response := respond(body, 200, optionalSetters)
	if err != nil {
		response.Body = []byte("Error encoding JSON.")
		response.StatusCode = 500
	}
	return withHeader(response, "content-type", "application/json")
}

// Empty responds with status 204 and no body.
func (r ContextResponse) Empty() Response {
	return respond(nil, 204, nil)
}

// Redirect responds with a location and, without WithStatusCode, status 301.
func (r ContextResponse) Redirect(url string, optionalSetters ...ResponseOption) Response {
	return withHeader(respond(nil, 301, optionalSetters), "location", url)
}

func respond(body []byte, statusCode int, setters []ResponseOption) Response {
	response := Response{StatusCode: statusCode}
	for _, set := range setters {
		set(&response)
	}
	response.Body = body
	return response
}

// withHeader returns the response with one header set in a copy of its headers.
func withHeader(response Response, name string, value string) Response {
	headers := map[string]string{name: value}
	for other, otherValue := range response.Headers {
		if !strings.EqualFold(other, name) {
			headers[other] = otherValue
		}
	}
	response.Headers = headers
	return response
}
