"""Parameters: our two-byte ids, IEEE 11073-10101 reference ids and codes, UCUM units.

An id never changes its meaning and is never used again. A code of 0 means that only the name is
established. `certainty` says how the MDC code is known: 2 = two independent public decoders
agree, 1 = one, 0 = name only or from the engineer's knowledge: check before you rely on it.
"""

from micropython import const

TABLE_VERSION = const(1)
FIRST_CONFIGURED = const(0x8000)  # ids from here up are spelled out in each sector's dictionary

# id, label, MDC reference id, context-free code, UCUM unit, certainty
PARAMETERS = (
    (1, "SpO2", "MDC_PULS_OXIM_SAT_O2", 150456, "%", 2),
    (2, "PR", "MDC_PULS_OXIM_PULS_RATE", 149530, "/min", 2),
    (3, "PI", "MDC_PULS_OXIM_PERF_REL", 150448, "%", 1),
    (4, "HR", "MDC_ECG_HEART_RATE", 147842, "/min", 2),
    (5, "RESP", "MDC_RESP_RATE", 151562, "/min", 2),
    (6, "Temp", "MDC_TEMP", 150344, "Cel", 2),
)
