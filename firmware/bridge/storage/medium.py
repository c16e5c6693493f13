"""From the board's wiring to block devices: where the log and the keys are."""

from bridge.core.errors import MediumError


def open_partition(place):
    """Return the ESP32 partition named by place["label"] (MicroPython's `esp32.Partition`)."""
    import esp32

    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=place["label"])
    if not found:
        raise MediumError("no partition %r: provision the board" % place["label"])
    return found[0]


MEDIA = {"partition": open_partition}


def open_medium(place):
    """Return the block device that `place` describes; raises MediumError."""
    if place["medium"] not in MEDIA:
        raise MediumError("medium %r, want one of %s" % (place["medium"], ", ".join(MEDIA)))
    return MEDIA[place["medium"]](place)
