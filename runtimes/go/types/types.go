// Package openruntimes is package openruntimes/openruntimes, for functions that were written for
// version 4.0.4 of types-for-go, which had it here.
package openruntimes

import "github.com/open-runtimes/types-for-go/v4/openruntimes"

const (
	LOGGER_TYPE_LOG   = openruntimes.LOGGER_TYPE_LOG
	LOGGER_TYPE_ERROR = openruntimes.LOGGER_TYPE_ERROR
)

type (
	Context         = openruntimes.Context
	ContextRequest  = openruntimes.ContextRequest
	ContextResponse = openruntimes.ContextResponse
	Response        = openruntimes.Response
	ResponseOption  = openruntimes.ResponseOption
	Log             = openruntimes.Log
	Logger          = openruntimes.Logger
)

var (
	NewContext = openruntimes.NewContext
	NewLogger  = openruntimes.NewLogger
)
