"""The exceptions of the gateway's core. Noise and outages are events and counters, not these."""


class BridgeError(Exception):
    """Base of every refusal; the message says where, what was found and what was expected."""


class ConfigError(BridgeError):
    """A configuration value is unknown, of the wrong type or out of range."""


class FormatError(BridgeError):
    """Bytes that should be one of our formats are not (flash, run, receipt)."""


class TagError(BridgeError):
    """An authentication tag is wrong: the bytes are not from who they claim to be from."""


class MediumError(BridgeError):
    """The flash medium refused, or cannot carry this layout."""


class KeyLost(BridgeError):
    """No readable chain key for a class: nothing can be appended to its log."""


class ProtocolError(BridgeError):
    """The MQTT peer broke the protocol; the session ends, the log does not mind."""


class RefusedError(ProtocolError):
    """The broker knows the protocol and does not want us: its reason is in the message."""
