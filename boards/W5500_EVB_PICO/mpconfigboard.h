#include "boards/W5500_EVB_PICO/mpconfigboard.h"
