"""What an image freezes besides, for a board with a radio; `RFM_DIR` holds adafruit_rfm."""

package("adafruit_bus_device", base_path="radio_shim", opt=2)  # noqa: F821
module("busio.py", base_path="radio_shim", opt=2)  # noqa: F821
module("digitalio.py", base_path="radio_shim", opt=2)  # noqa: F821
module("supervisor.py", base_path="radio_shim", opt=2)  # noqa: F821
package("adafruit_rfm", base_path="$(RFM_DIR)", opt=2)  # noqa: F821
