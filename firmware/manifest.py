"""What an image of the gateway freezes."""

package("bridge", opt=2)  # noqa: F821
module("loader.py", opt=2)  # noqa: F821
module("main.py", opt=2)  # noqa: F821
require("umqtt.simple")  # noqa: F821
