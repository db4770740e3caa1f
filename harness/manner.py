"""How a case is evaluated: as it is, with probes, in float64, or in another form that is as sound. Knows no operator and no bound."""

from enum import StrEnum


class Manner(StrEnum):
    """Each is the same workload on the same rounded inputs."""

    PLAIN = "plain"  # as a user runs it: the reference
    PROBED = "probed"  # plain, and then what `harness.probes` asks: the candidate
    GOLDEN = "golden"  # float64, by plain definitions where the workload has them
    # float64 with every floating input moved by up to one roundoff, at random: how far a result may move for no fault of the device
    MOVED_1 = "moved-1"
    MOVED_2 = "moved-2"  # the same the other way round, so that of two equal values each comes first once
    MOVED_3 = "moved-3"
    UNFUSED = "unfused"  # in the case's dtype, every operator taken apart into smaller ones
    REORDERED = "reordered"  # in the case's dtype, sums and products summed in the opposite order
    # plain, with every floating input, the initial weights too, moved by up to one roundoff: how far sound training runs lie apart
    PERTURBED_1 = "perturbed-1"
    PERTURBED_2 = "perturbed-2"
    PERTURBED_3 = "perturbed-3"

    @property
    def exact(self) -> bool:
        """Whether the arithmetic is float64."""
        return self is Manner.GOLDEN or self in MOVED

    @property
    def moved(self) -> int:
        """Which of the moved evaluations this is, 1 and -1 for the two that mirror each other; 0 for none."""
        moves = {Manner.MOVED_1: 1, Manner.MOVED_2: -1, Manner.MOVED_3: 2}
        return {**moves, **{manner: 3 + k for k, manner in enumerate(PERTURBED)}}.get(self, 0)


#: Those that tell the condition of a case, and the forms that are accepted beside the reference device's own.
MOVED = (Manner.MOVED_1, Manner.MOVED_2, Manner.MOVED_3)
FORMS = (Manner.UNFUSED, Manner.REORDERED)
#: Reruns of the reference that tell the band of a training run, as many of them as `Case.band` asks for.
PERTURBED = (Manner.PERTURBED_1, Manner.PERTURBED_2, Manner.PERTURBED_3)
