"""How functions are kept apart from the server and from each other."""
