"""The device protocols, imported only when a line uses them."""

# name: module, class
PROTOCOLS = {
    "alaris_asena": ("bridge.core.protocols.alaris_asena", "AlarisDecoder"),
    "aspect_bis": ("bridge.core.protocols.aspect_bis", "BisDecoder"),
    "astm": ("bridge.core.protocols.astm", "AstmDecoder"),
    "bbraun_bcc": ("bridge.core.protocols.bbraun_bcc", "BccDecoder"),
    "capnostream": ("bridge.core.protocols.capnostream", "CapnostreamDecoder"),
    "draeger_medibus": ("bridge.core.protocols.draeger_medibus", "MedibusDecoder"),
    "fresenius_orchestra": ("bridge.core.protocols.fresenius_orchestra", "OrchestraDecoder"),
    "ge_s5": ("bridge.core.protocols.ge_s5", "S5Decoder"),
    "graseby_3400": ("bridge.core.protocols.graseby_3400", "GrasebyDecoder"),
    "hamilton": ("bridge.core.protocols.hamilton", "HamiltonDecoder"),
    "hl7_oru": ("bridge.core.protocols.hl7_oru", "OruDecoder"),
    "line_template": ("bridge.core.protocols.line_template", "LineDecoder"),
    "masimo_set": ("bridge.core.protocols.masimo_set", "MasimoDecoder"),
    "mindray_pds": ("bridge.core.protocols.mindray_pds", "PdsDecoder"),
    "modbus_ascii": ("bridge.core.protocols.modbus_ascii", "ModbusAsciiDecoder"),
    "modbus_rtu": ("bridge.core.protocols.modbus_rtu", "ModbusDecoder"),
    "nellcor_oximax": ("bridge.core.protocols.nellcor_oximax", "OximaxDecoder"),
    "nonin": ("bridge.core.protocols.nonin", "NoninDecoder"),
    "nurse_call": ("bridge.core.protocols.nurse_call", "ContactDecoder"),
    "philips_intellivue": ("bridge.core.protocols.philips_intellivue", "IntellivueDecoder"),
    "puritan_bennett": ("bridge.core.protocols.puritan_bennett", "PuritanDecoder"),
    "puritan_bennett_waves": ("bridge.core.protocols.puritan_bennett_waves", "PuritanWaveDecoder"),
    "servo_cie": ("bridge.core.protocols.servo_cie", "ServoDecoder"),
}


def make_decoder(name, options):
    """Return a new decoder for protocol `name`; raises KeyError for an unknown name.

    options  dict from the line's configuration; each protocol's file says what it takes
    """
    module, class_name = PROTOCOLS[name]
    return getattr(__import__(module, None, None, (class_name,)), class_name)(options)
