"""What is one piece of evidence for or against a cause?

A weight is a log-odds: 3 makes a cause twenty times as likely, -3 as unlikely. Clues of one view are counted for each
probe and damped by how many there are (what probes see is not independent); clues of the whole scene count once.
"""

from __future__ import annotations

from dataclasses import dataclass

from .whereabouts import Place

ANY = "*"  # speaks of every cause of its layer
DESTINATION = ("server", "service", "application", "client_network", "tls")


@dataclass(frozen=True, slots=True)
class Clue:
    """One piece of evidence for (weight above 0) or against a cause. `plain`: seen directly, so it stands by itself."""

    layer: str
    cause: str
    weight: float
    text: str
    plain: bool = False
    slugs: tuple[str, ...] = ()
    place: Place | None = None
    but: tuple[str, ...] = ()  # causes of the layer of which it does not speak


LOSSES = ("loss", "loss_at_hop", "loss_at_host", "edge_loss", "one_way_loss", "latency_at_hop", "mtu_black_hole")
