package openruntimes

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ContextRequest is the request. Path and Query are percent-decoded, QueryString is raw.
type ContextRequest struct {
	bodyBinary []byte

	// Headers has lower-case names.
	Headers     map[string]string
	Method      string
	Url         string
	Path        string
	Port        int
	Scheme      string
	Host        string
	QueryString string
	// Query has the first value of a repeated key.
	Query map[string]string
}

// SetBodyBinary sets the body.
func (r *ContextRequest) SetBodyBinary(bytes []byte) {
	r.bodyBinary = bytes
}

// BodyBinary returns the body as it was sent.
func (r ContextRequest) BodyBinary() []byte {
	return r.bodyBinary
}

// BodyText returns the body as text.
func (r ContextRequest) BodyText() string {
	return string(r.bodyBinary)
}

// BodyRaw is BodyText.
//
// Deprecated: use BodyText.
func (r ContextRequest) BodyRaw() string {
	return r.BodyText()
}

// BodyJson decodes the body into what v points to, whatever its content type.
func (r ContextRequest) BodyJson(v any) error {
	if err := json.Unmarshal(r.bodyBinary, v); err != nil {
		return fmt.Errorf("could not parse body into a JSON: %w", err)
	}
	return nil
}

// Body returns a JSON body decoded, an empty map when that fails, and any other body as text.
func (r ContextRequest) Body() interface{} {
	if !strings.HasPrefix(strings.ToLower(r.Headers["content-type"]), "application/json") {
		return r.BodyText()
	}
	var body any
	if len(r.bodyBinary) == 0 || r.BodyJson(&body) != nil {
		return map[string]interface{}{}
	}
	return body
}
