"""What canaries may cost in a day, and how long to wait so that there is always something left.

A daily budget is paid from two purses, each of which may be emptied at once and is filled again at
an even pace:

| purse   | for                                              | at once | over a day |
|---------|--------------------------------------------------|---------|------------|
| routine | an idle endpoint of which nothing bad is known   | 1/10    | 7/10       |
| reserve | a suspicion, a doubt, an endpoint not ready      | 1/10    | 1/10       |

So no 24 hours, wherever they begin, cost more than the budget, whatever the wall clock does. The
reserve pays first for what is urgent, then the routine purse. As the routine purse empties, the
wait stretches in proportion, from the configured one to the *floor*, at which spending and filling
are in balance: a day / (7/10 of the budget). That is the evidence that always remains: an idle
endpoint is never asked less often than this, and an urgent question waits no longer. A budget that
lasts for the configured wait stretches nothing.

A purse is kept as what is spent and not filled again yet (a leaky bucket: Turner, "New directions
in communications", 1986; the generic cell rate algorithm of ITU-T I.371 is the same).
"""

from __future__ import annotations

from typing import NamedTuple

from serinus.core.rules import Rules

__all__ = ["DAY", "LEAST", "Purse", "Spending", "affordable_at", "stretched"]

DAY = 86_400.0
"""Seconds."""
LEAST = 100
"""The smallest budget a day: there is a question at least every 21 minutes."""
_ROUTINE, _RESERVE = 0.7, 0.1
"""The share of a day's budget that fills each purse in a day."""
_AT_ONCE = 0.1
"""The share that each purse holds."""
_NEVER = float("-inf")
_ROUNDING = 1e-9


class Purse(NamedTuple):
    """What is spent of a day's budget and not filled again yet, as of `at`."""

    routine: float = 0.0
    reserve: float = 0.0
    at: float = 0.0

    def filled(self, budget: int, now: float) -> Purse:
        """Return it as it is at `now`."""
        days = max(now - self.at, 0.0) / DAY * budget
        return Purse(
            max(self.routine - _ROUTINE * days, 0.0), max(self.reserve - _RESERVE * days, 0.0), now
        )

    def paid(self, cost: float, budget: int, now: float, *, urgent: bool) -> Purse:
        """Pay at `now`; a cost that is known only afterwards may be more than there was."""
        purse = self.filled(budget, now)
        if urgent and purse.reserve + 1 <= _at_once(budget) + _ROUNDING:
            return purse._replace(reserve=purse.reserve + cost)
        return purse._replace(routine=purse.routine + cost)

    def affordable_at(self, budget: int, *, urgent: bool, cost: int = 1) -> float:
        """When the next question can be paid for; it may have been long ago.

        One that costs more than the purse holds needs a full one.
        """
        most = max(_at_once(budget) - cost, 0.0)
        routine = self.at + (self.routine - most) / (_ROUTINE * budget) * DAY
        if not urgent:
            return routine
        return min(routine, self.at + (self.reserve - most) / (_RESERVE * budget) * DAY)

    def emptiness(self, budget: int, now: float) -> float:
        """How empty the routine purse is, from 0 to 1."""
        return min(self.filled(budget, now).routine / _at_once(budget), 1.0)


class Spending(NamedTuple):
    """What the canaries of one endpoint have cost. The purses are of the budgets that there are."""

    canaries: int = 0
    tokens: int = 0
    """Those that the engine made."""
    of_canaries: Purse = Purse()
    of_tokens: Purse = Purse()

    def paid(
        self, rules: Rules, *, now: float, canaries: int, tokens: int, urgent: bool
    ) -> Spending:
        """Count what was spent, and pay for it where there is a budget."""
        of_canaries, of_tokens = self.of_canaries, self.of_tokens
        if rules.budget:
            of_canaries = of_canaries.paid(canaries, rules.budget, now, urgent=urgent)
        if rules.token_budget:
            of_tokens = of_tokens.paid(tokens, rules.token_budget, now, urgent=urgent)
        return Spending(self.canaries + canaries, self.tokens + tokens, of_canaries, of_tokens)

    @property
    def price(self) -> float:
        """Tokens that a canary costs, on the average; 1 as long as none was seen."""
        return max(self.tokens / self.canaries, 1.0) if self.canaries else 1.0


def affordable_at(spending: Spending, rules: Rules, *, urgent: bool, tokens: int = 1) -> float:
    """When a question of so many tokens can be paid for; minus infinity without a budget."""
    at = _NEVER
    if rules.budget:
        at = max(at, spending.of_canaries.affordable_at(rules.budget, urgent=urgent))
    if rules.token_budget:
        purse = spending.of_tokens
        at = max(at, purse.affordable_at(rules.token_budget, urgent=urgent, cost=tokens))
    return at


def stretched(spending: Spending, rules: Rules, *, now: float) -> float:
    """Return the wait before a routine question, in seconds, as it is at `now`."""
    if not (rules.budget or rules.token_budget):
        return rules.wait
    waits = [rules.wait]
    if rules.budget:
        waits.append(_stretched(rules.wait, spending.of_canaries, rules.budget, 1.0, now))
    if rules.token_budget:
        price = spending.price
        waits.append(_stretched(rules.wait, spending.of_tokens, rules.token_budget, price, now))
    return max(waits)


def _at_once(budget: int) -> float:
    """What a purse holds: at least one question, however small the budget."""
    return max(_AT_ONCE * budget, 1.0)


def _stretched(wait: float, purse: Purse, budget: int, price: float, now: float) -> float:
    floor = price * DAY / (_ROUTINE * budget)
    return wait + max(floor - wait, 0.0) * purse.emptiness(budget, now)
