# MicroPython's own board of this name, with the gateway frozen into the image.
# Frozen code needs room: the file system is smaller than the stock image's.
set(MICROPY_HW_FLASH_STORAGE_BYTES 655360)  # 640 * 1024
include(${MICROPY_PORT_DIR}/boards/RPI_PICO_W/mpconfigboard.cmake)
set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
set(MICROPY_BOARD_PINS ${MICROPY_PORT_DIR}/boards/RPI_PICO_W/pins.csv)
