"""The far end of each device protocol, written from its document and not from our decoder.

A simulator is built from the Plug that says where it is plugged in; a bus is built from its
slaves, each with its own Plug on the bus's line. `run()` speaks for ever, until it is cancelled.
"""
