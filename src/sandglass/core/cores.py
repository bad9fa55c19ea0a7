"""How many processor cores this process may use, of a shared server or of a container; and what they can."""

import os
import time
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
CPUS = Path("/proc/cpuinfo")
STAT = Path("/proc/stat")


def cpu_count() -> int:
    """Cores that this process may keep busy, at least 1: its affinity mask, within the container's CPU quota, shared
    with the processes that torchrun started beside it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(cores, cpu_quota())) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def cpu_quota(root: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float:
    """Cores' worth of time that the control groups of this process allow; infinity without a quota.

    Every group that a process is in may set one, and so may the groups around it: the tightest counts. Version 2
    keeps `cpu.max` ("quota period") in one tree, version 1 two files in a tree of the cpu controller.
    https://docs.kernel.org/admin-guide/cgroup-v2.html, .../cgroup-v1/index.html
    """
    quotas = [float("inf")]
    for place in _places(root, own):
        quotas += _ratio(_words(place / "cpu.max"))
        quotas += _ratio(_words(place / "cpu.cfs_quota_us") + _words(place / "cpu.cfs_period_us"))
    return min(quotas)


def cpu_flags(source: Path = CPUS) -> set[str]:
    """What the processor says it can; nothing where the system does not tell."""
    try:
        lines = source.read_text("utf-8", "replace").splitlines()
    except OSError:
        return set()
    return {word for line in lines if line.lower().startswith(("flags", "features")) for word in line.split()}


def to_spare(wanted: int, busy: float) -> int:
    """Of `wanted` cores, how many a program should leave to others, who keep `busy` of the machine's; it keeps at least
    one. Its threads would all wait for the one that has to share its core."""
    free = max(1, round((os.cpu_count() or 1) - busy))
    return max(0, wanted - free)


class Neighbours:
    """What else runs on this machine, from the moment this is made: Linux tells in /proc/stat, others do not."""

    def __init__(self, source: Path = STAT) -> None:
        self.source = source
        self.began = self._seconds()
        self.since = time.monotonic()

    def busy(self, least: float = 0.0) -> float:
        """Cores that other processes kept busy since then, on average; it waits until that is `least` seconds ago."""
        time.sleep(max(0.0, self.since + least - time.monotonic()))
        passed = time.monotonic() - self.since
        return max(0.0, self._seconds() - self.began) / passed if passed > 0 else 0.0

    def _seconds(self) -> float:
        """That cores have worked since the machine began, and not for this process."""
        words = _words(self.source)[1:8]  # user, nice, system, idle, iowait, irq, softirq: in ticks, of all cores
        if len(words) < 7 or not all(map(str.isdigit, words)):
            return 0.0
        user, nice, system, _, _, irq, softirq = map(int, words)
        own = os.times()
        return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK") - own.user - own.system


def _places(root: Path, own: Path) -> list[Path]:
    """The folders of this process's groups and of those around them; the mounts' own roots for containers, which
    see their group there under another name."""
    places = []
    for line in _words(own, lines=True):
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        trees = [root / controllers, root / "cpu"] if controllers else [root, root / "unified"]
        parts = [part for part in group.split("/") if part and part != ".."]
        places += [tree.joinpath(*parts[:n]) for tree in trees for n in range(len(parts) + 1)]
    return places or [root, root / "cpu"]


def _words(path: Path, lines: bool = False) -> list[str]:
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError):
        return []
    return text.splitlines() if lines else text.split()


def _ratio(words: list[str]) -> list[float]:
    """[quota / period], or nothing: no such file, no quota ("max", -1)."""
    try:
        quota, period = map(int, words)
        return [quota / period] if quota > 0 and period > 0 else []
    except ValueError:
        return []
