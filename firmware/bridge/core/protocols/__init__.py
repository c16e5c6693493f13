"""The device protocols, imported only when a line uses them."""

# name: module, class
PROTOCOLS = {
    "draeger_medibus": ("bridge.core.protocols.draeger_medibus", "MedibusDecoder"),
    "masimo_set": ("bridge.core.protocols.masimo_set", "MasimoDecoder"),
    "modbus_rtu": ("bridge.core.protocols.modbus_rtu", "ModbusDecoder"),
}


def make_decoder(name, options):
    """Return a new decoder for protocol `name`; raises KeyError for an unknown name.

    options  dict from the line's configuration; each protocol's file says what it takes
    """
    module, class_name = PROTOCOLS[name]
    return getattr(__import__(module, None, None, (class_name,)), class_name)(options)
