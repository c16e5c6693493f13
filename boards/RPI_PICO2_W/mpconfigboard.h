#include "boards/RPI_PICO2_W/mpconfigboard.h"
