"""The pairs of CPU and memory that Fargate offers.

docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
"""

from __future__ import annotations

from celeriac.contract import Queue

#: MiB by CPU units. The smallest size has no even steps.
_SIZES: dict[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16_384 + 1, 1024)),
    4096: tuple(range(8192, 30_720 + 1, 1024)),
    8192: tuple(range(16_384, 61_440 + 1, 4096)),
    16_384: tuple(range(32_768, 122_880 + 1, 8192)),
}


def check_size(queue: Queue) -> None:
    """Refuse a worker size that Fargate doesn't offer.

    Raises:
        ValueError: there is no such size. The message names the next larger one.
    """
    fleet = queue.fleet
    if fleet.memory in _SIZES.get(fleet.cpu, ()):
        return
    enough = next(
        (
            (cpu, memory)
            for cpu, sizes in _SIZES.items()
            for memory in sizes
            if cpu >= fleet.cpu and memory >= fleet.memory
        ),
        (16_384, _SIZES[16_384][-1]),
    )
    raise ValueError(
        f"{queue.place}: Queue({queue.name!r}, fleet=Fleet(cpu={fleet.cpu}, "
        f"memory={fleet.memory})): Fargate doesn't offer this size. Use "
        f"Fleet(cpu={enough[0]}, memory={enough[1]})."
    )
