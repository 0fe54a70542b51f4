package local

const Text = "local"
