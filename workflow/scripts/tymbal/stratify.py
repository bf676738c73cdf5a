"""Divide groups of clips among parts so that part sizes and every class's weight come near their shares.

Groups are never cut, clips carry several soft labels. A greedy start places group by group where its scarcest class
is needed most, like iterative stratification (Sechidis et al., ECML PKDD 2011) does with single clips; then random
moves and swaps lower one cost. Sums run in a fixed order, so that a seed gives the same parts on every platform.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

PROPOSALS = 256  # in a round of local search, half of them moves, half of them swaps; the best one counts
PATIENCE = 100  # rounds without any gain, after which the search ends
LEAST_GAIN = 1e-9  # of the cost; well above rounding errors, so that the search never goes in circles

# The squared relative error of a class's weight in a part costs 1. Dearer are, in this order:
SIZE = 100.0  # that of a part's number of clips
LOST = 1e4  # a class missing from a part, though it has a group for every part
MISFIT = 1e6  # each clip by which a part misses its size beyond the slack
EMPTY = 1e12  # a part without any group


@dataclass(frozen=True)
class Problem:
    """Groups to divide and the parts wanted. The last column of each table counts clips, the others are classes.

    Attributes:
        weights: [G + 1, C + 1] weight of each class in each group, then the group's number of clips. The last row is
            an empty group, in no part: a swap with it is a move.
        present: [G + 1, C + 1] 1 where a group has a class, else 0.
        targets: [P, C + 1] wanted sum of `weights` in each part; whole numbers of clips.
        prices: [P, C + 1] cost of a squared error.
        absence: [C + 1] cost of a part without the class.
        slack: clips by which a part may miss its size for the sake of a class. It leaves room to exchange the largest
            groups, and is 0 where each clip is a group.
    """

    weights: np.ndarray
    present: np.ndarray
    targets: np.ndarray
    prices: np.ndarray
    absence: np.ndarray
    slack: int

    @classmethod
    def of(cls, weights: np.ndarray, shares: Sequence[float]) -> Self:
        """The problem of dividing groups with `weights` [G, C + 1] in proportion to `shares` (P of them)."""
        totals = weights.sum(axis=0)
        targets = np.outer(shares, totals)  # [P, C + 1]
        targets[:, -1] = largest_remainder(int(totals[-1]), shares)
        prices = 1 / np.square(np.where(targets > 0, targets, 1.0))
        prices[:, -1] *= SIZE
        weights = np.vstack([weights, np.zeros_like(totals)])
        present = (weights > 0).astype(np.int64)
        absence = np.where(present.sum(axis=0) >= len(shares), LOST, 0.0)
        absence[-1] = EMPTY
        return cls(weights, present, targets, prices, absence, slack=2 * (int(weights[:, -1].max()) - 1))

    def cost(self, totals: np.ndarray, counts: np.ndarray, part: np.ndarray) -> np.ndarray:
        """How far parts are from what is wanted.

        Args:
            totals: [..., C + 1] sum of `weights` over a part's groups.
            counts: [..., C + 1] sum of `present` over a part's groups.
            part: [...] which part it is.

        Returns:
            [...] cost of each part.
        """
        missed = totals - self.targets[part]
        faults = self.prices[part] * np.square(missed) + self.absence * (counts == 0)
        return faults.sum(axis=-1) + MISFIT * np.maximum(np.abs(missed[..., -1]) - self.slack, 0)


def divide(weights: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Divide groups among parts.

    Args:
        weights: [G, C + 1] weight of each class in each group, then the group's number of clips. G >= P.
        shares: P shares of the whole, which add up to 1.
        seed: decides ties and proposals.

    Returns:
        [G] the part of each group, 0 to P - 1. No part is empty. Groups of one clip give exact sizes.
    """
    assert len(weights) >= len(shares)
    problem = Problem.of(weights, shares)
    rng = np.random.default_rng(seed)
    return improve(problem, greedy(problem, rng), rng)


def largest_remainder(n: int, shares: Sequence[float]) -> np.ndarray:
    """Whole numbers [P] nearest to `n * shares` that add up to `n`; equal remainders favour the earlier part."""
    exact = np.round(n * np.asarray(shares) / sum(shares), 6)  # a rounding error must not decide a remainder
    whole = np.floor(exact).astype(np.int64)
    whole[np.argsort(whole - exact, kind="stable")[: n - whole.sum()]] += 1
    return whole


def greedy(problem: Problem, rng: np.random.Generator) -> np.ndarray:
    """Place class by class, from the one with the fewest groups left; heavy groups first, where most is lacking.

    Returns:
        [G] the part of each group.
    """
    weights, present = problem.weights[:-1], problem.present[:-1].astype(bool)
    part = np.full(len(weights), -1)
    totals = np.zeros_like(problem.targets)
    order = rng.permutation(len(weights))
    while (part < 0).any():
        left = present[part < 0].sum(axis=0)  # [C + 1]
        scarcest = np.argmin(np.where(left > 0, left, len(weights) + 1))
        groups = order[(part[order] < 0) & present[order, scarcest]]
        for group in groups[np.argsort(-weights[groups, scarcest], kind="stable")]:
            lack = problem.targets - totals  # [P, C + 1]
            room = lack[:, -1]  # [P] clips
            need = np.where(room >= weights[group, -1], lack[:, scarcest], -np.inf)
            best = np.lexsort((-room, -need))[0]  # equal needs, or no room anywhere: the part with most room
            part[group] = best
            totals[best] += weights[group]
    return part


def improve(problem: Problem, part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lower the cost of a division by random moves and swaps of groups.

    Args:
        problem: what is wanted.
        part: [G] the part of each group.
        rng: draws the proposals.

    Returns:
        [G] the better division.
    """
    n_groups, n_parts = len(part), len(problem.targets)
    parts = np.arange(n_parts)
    member = parts[:, None] == part  # [P, G]
    totals = np.stack([problem.weights[:-1][mine].sum(axis=0) for mine in member])  # [P, C + 1]
    counts = np.stack([problem.present[:-1][mine].sum(axis=0) for mine in member])
    cost = problem.cost(totals, counts, parts)  # [P]
    part = part.copy()
    idle = 0
    while idle < PATIENCE:
        # Group `a` goes from part `p` to `q`; in a swap group `b` goes the other way.
        a = rng.integers(n_groups, size=PROPOSALS)
        b = rng.integers(n_groups, size=PROPOSALS)
        p, q = part[a], part[b]
        moves = slice(PROPOSALS // 2)
        b[moves] = n_groups  # the empty group
        q[moves] = rng.integers(n_parts, size=PROPOSALS // 2)
        weights = problem.weights[a] - problem.weights[b]  # [B, C + 1]
        present = problem.present[a] - problem.present[b]
        change = problem.cost(totals[p] - weights, counts[p] - present, p) - cost[p]  # [B]
        change += problem.cost(totals[q] + weights, counts[q] + present, q) - cost[q]
        change[p == q] = 0  # nothing would change hands
        best = np.argmin(change)
        idle += 1
        if change[best] < -LEAST_GAIN * max(1.0, cost.sum()):
            idle = 0
            source, goal = p[best], q[best]
            part[a[best]] = goal
            if b[best] < n_groups:
                part[b[best]] = source
            totals[source] -= weights[best]
            totals[goal] += weights[best]
            counts[source] -= present[best]
            counts[goal] += present[best]
            cost = problem.cost(totals, counts, parts)
    return part
