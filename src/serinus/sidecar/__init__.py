"""The sidecar: watches engines from outside, over HTTP, with no change to them.

Pure: `place` and `targets` (what was written), `ledger` (what is ours among the engine's numbers),
`life` (loading, serving, dead), `words` (what an engine says of itself). Thin: `client` and
`tripwire` touch the network, `watch` joins them for one engine, `sidecar` for all of them.
"""
