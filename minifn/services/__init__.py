"""The rules of minifn, one topic a file. They use the store and the sandbox, but not HTTP."""
