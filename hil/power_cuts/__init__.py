"""The power is cut at every flash operation of a gateway's work, and the log is judged after.

gateway.py   a gateway's flash in memory, with its keys and log
workload.py  what the firmware asks of its log, drawn from a seed
judge.py     what must hold, whatever happened
lineage.py   one gateway through its cuts, on either interpreter
campaign.py  every cut of many workloads, over processes
"""
