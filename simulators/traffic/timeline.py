"""The two times of a run: simulated seconds since it began, and Unix time on the wire."""

from dataclasses import dataclass

_NS = 1_000_000_000


@dataclass(slots=True)
class Timeline:
    """Converts between them; `began_unix_ns` is known when the gateways are connected."""

    speed_up: float = 1.0
    """Simulated seconds per real second."""
    began_unix_ns: int = 0

    def unix_ns(self, simulated: float) -> int:
        """When a simulated instant is on the clocks of the world."""
        return self.began_unix_ns + int(simulated / self.speed_up * _NS)

    def simulated(self, unix_ns: int) -> float:
        """Simulated seconds since the run began, at a Unix time."""
        return (unix_ns - self.began_unix_ns) / _NS * self.speed_up
