"""Values and rules: what was seen, what follows from it, and what to ask next.

Nothing here reads a clock, touches a network or writes a log. Evidence and times go in, frozen
values come out, so that every decision can be replayed and simulated. All times are seconds of one
monotonic clock of the caller's, as floats.

The values are NamedTuples: as frozen as dataclasses, and several times cheaper to define and to
make, which a worker's first answer and its thousandth canary in a second both feel.
"""
