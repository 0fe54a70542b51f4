"""Functions on the nodes of a Ray cluster. Nothing here is imported without `--cluster`.

A server keeps the API, the queue and the records; Ray keeps the machines. On each node one actor
(`node`) has a launcher, an engine, runtimes and a pool as a server has. `pool` gives each call to a
node that `placement` chooses; `member` is the server's view of a node, `messages` has the messages
between the two, and `connection` all that the server asks of Ray. `builds` gives builds to nodes,
`remote_builds` is the server's view of those of a node, and `node_builds` makes and keeps them.
"""
