"""The spawner's own process: one thread, the standard library only, nothing else of minifn.

It runs as `python -I -S` with an empty environment, so that it starts quickly, stays small and holds no secrets.
Modules here import each other relatively and nothing from the rest of the package; only the short-lived child that
removes a directory knows how the data directory does that.
"""
