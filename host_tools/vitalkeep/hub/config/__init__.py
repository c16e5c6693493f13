"""hub.toml: its sections. To add one: a frozen dataclass of `setting`s, and its line here."""

SECTIONS: tuple[tuple[str, str, str], ...] = (
    # name in the file, module, class
    ("site", "vitalkeep.hub.config.basics", "SiteSettings"),
    ("broker", "vitalkeep.hub.config.basics", "BrokerSettings"),
    ("database", "vitalkeep.hub.config.basics", "DatabaseSettings"),
    ("page", "vitalkeep.hub.config.basics", "PageSettings"),
    ("time", "vitalkeep.hub.config.basics", "TimeSettings"),
    ("log", "vitalkeep.hub.logs", "LogSettings"),
    ("decoding", "vitalkeep.hub.growing", "DecodingSettings"),
    ("load", "vitalkeep.hub.load", "LoadSettings"),
    ("room", "vitalkeep.hub.forecast", "RoomSettings"),
    ("cluster", "vitalkeep.hub.worker", "ClusterSettings"),
    ("duties", "vitalkeep.hub.duties", "DutySettings"),
    ("archive", "vitalkeep.archive.settings", "ArchiveSettings"),
    ("exports", "vitalkeep.hub.exports.settings", "ExportSettings"),
    ("exchange", "vitalkeep.hub.exchange.settings", "ExchangeSettings"),
)
