"""Captures of device traffic to observations, alarms and damage, one JSON object a line.

capture.py  the file
lines.py    the decoder's events as lines; the same source runs on CPython and on MicroPython
"""
