"""The wire contract: requests into typed params, records into JSON, by response format."""
