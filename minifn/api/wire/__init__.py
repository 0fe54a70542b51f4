"""The wire contract: parameters in, records out as JSON, by response format."""
