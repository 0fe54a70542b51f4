"""Access control: who calls, from which page, and how often."""
