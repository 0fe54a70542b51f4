"""The launcher, a process of its own: one thread and the standard library.

It runs as `python -I -S` with an empty environment, so that it starts quickly, stays small and
holds no secrets. Modules here import each other relatively, and of the rest of the package only
`host.control_groups` and, in the short-lived child that removes a directory, `host.datadir`.
"""
