"""A load on a hub: many gateways in one process, with logs that the firmware's own core sealed.

shape.py    who they are and what their devices say
logs.py     their logs, made once by the real journal and kept in a temporary folder
replay.py   a log that grows again as it was written
gateway.py  one gateway's session, without a socket
crowd.py    all of them on one socket loop
process.py  that loop as a process of its own, and what its parent tells it
stage.py    broker, store and hubs for them
kills.py    hubs killed under that load
"""
