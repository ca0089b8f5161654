"""The blows and their schedule: which, in which order, with which pauses; a seed fixes them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

KILLS = (
    *["kill worker"] * 3,
    "kill maintenance",
    "kill writer",
    "kill api",
    "kill master",
    "kill everything",
)
# Workers, maintenance and writer are replaced by those who watch over them. Nobody watches over
# the master and the API's http process, by design: supervisord knows only whether they live. The
# schedule itself lets those two go on after a while.
STOPS = ("stop worker", "stop maintenance", "stop writer", "stop api", "stop master")
RESUMED = frozenset({"stop api", "stop master"})
# One life of a second pool on the same data folder that ends in order, and one that does not.
SECOND_POOL = ("start second", "kill second", "start second", "end second")
RESTARTS = ("supervisorctl orpheus-worker", "supervisorctl orpheus-api")


@dataclass(frozen=True)
class Planned:
    """One blow, and the seconds until the next."""

    what: str
    pause: float

    def __str__(self) -> str:
        return f"{self.what} {self.pause:.2f}"


def schedule(
    rng: Random, kills: int, stops: int, pause: float, supervised: bool = False
) -> list[Planned]:
    """Half of the kills hit a worker, the rest anything; one is the second pool's master."""
    names = ["kill worker" if rng.random() < 0.5 else rng.choice(KILLS) for _ in range(kills - 1)]
    names += [rng.choice(STOPS) for _ in range(stops)]
    if supervised:
        names += RESTARTS
    rng.shuffle(names)
    if kills:
        names = _interleaved(rng, names, SECOND_POOL)
    return planned(rng, names, pause)


def planned(rng: Random, names: list[str], pause: float) -> list[Planned]:
    """These blows in this order, with pauses around `pause`."""
    return [Planned(name, rng.uniform(0.5, 1.5) * pause) for name in names]


def _interleaved(rng: Random, names: list[str], more: tuple[str, ...]) -> list[str]:
    """`more` among `names`, each in its own order."""
    places = set(rng.sample(range(len(names) + len(more)), len(more)))
    first, second = iter(names), iter(more)
    return [
        next(second) if place in places else next(first) for place in range(len(names) + len(more))
    ]
