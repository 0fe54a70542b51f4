"""The operations of the HTTP API, one topic a file."""
