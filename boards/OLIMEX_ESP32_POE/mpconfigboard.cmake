# MicroPython's own board of this name, with the gateway frozen into the image.
include(boards/OLIMEX_ESP32_POE/mpconfigboard.cmake)

set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
