"""Time, engines and faults that exist in memory alone: the real judge runs over them.

Everything here is deterministic: nothing reads the clock of the machine, and every choice comes
from a seed.
"""
