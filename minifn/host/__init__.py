"""The machine below minifn: the data directory, files, disk space, tasks and budgets."""
