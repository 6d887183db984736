"""Draws pairs of pictures from any folder of people, in folds as those of LFW."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from convnet.errors import ConvnetError
from convnet.verification.lfw import Fold, Numbered, Pair

#: The numbers of each person's pictures.
People = Mapping[str, Sequence[int]]


def deal_people(people: People, folds: int, seed: int) -> list[list[str]]:
    """People at random in folds with nearly equal numbers of people and of pictures."""
    order = np.random.default_rng(seed).permutation(sorted(people)).tolist()
    order.sort(key=lambda name: -len(people[name]))  # those with equally many stay shuffled
    return [order[fold::folds] for fold in range(folds)]


def draw_folds(
    people: People, groups: Sequence[Sequence[str]], count: int, seed: int
) -> list[Fold]:
    """For each group of people a fold of `count` pairs of one person and as many of two.

    No pair comes twice. People take turns in the pairs of one person, so that nobody with many
    pictures outweighs the others.

    Raises:
        ConvnetError: a group does not make so many pairs.
    """
    rng = np.random.default_rng(seed)
    return [_draw_fold({name: people[name] for name in group}, count, rng) for group in groups]


def _draw_fold(people: People, count: int, rng: np.random.Generator) -> Fold:
    sizes = np.array([len(numbers) for numbers in people.values()])
    same = int((sizes * (sizes - 1) // 2).sum())
    different = int((sizes.sum() ** 2 - (sizes**2).sum()) // 2)
    if min(same, different) < count:
        raise ConvnetError(
            f"the {sizes.size} people of a fold, {sizes.sum()} pictures, make {same} pairs of one "
            f"person and {different} of two; expected {count} of each: ask for fewer --pairs or "
            "--folds"
        )
    return Fold(_same_pairs(people, count, rng), _different_pairs(people, count, rng))


def _same_pairs(people: People, count: int, rng: np.random.Generator) -> list[Pair]:
    turns: list[tuple[int, float, Pair]] = []
    for name, numbers in people.items():
        every = list(combinations(sorted(numbers), 2))
        for turn, index in enumerate(rng.permutation(len(every))[:count]):
            first, second = every[index]
            turns.append((turn, rng.random(), Pair(Numbered(name, first), Numbered(name, second))))
    return [pair for _, _, pair in sorted(turns)[:count]]


def _different_pairs(people: People, count: int, rng: np.random.Generator) -> list[Pair]:
    names = list(people)
    found: dict[Pair, None] = {}
    while len(found) < count:
        chosen = [names[i] for i in sorted(rng.choice(len(names), 2, replace=False))]
        first, second = (Numbered(name, int(rng.choice(people[name]))) for name in chosen)
        found[Pair(first, second)] = None
    return list(found)
