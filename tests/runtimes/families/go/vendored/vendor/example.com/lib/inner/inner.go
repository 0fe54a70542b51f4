package inner

const Text = "vendored"
