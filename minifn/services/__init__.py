"""The rules of minifn, one topic a file: they use the store and the sandbox, and know nothing of HTTP."""
