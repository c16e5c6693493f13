"""The wiring doctor: what is on a serial line, and what is wrong with it.

setting.py    how a UART is set
recording.py  what was heard, at which setting
recognise.py  which protocols explain the bytes, and how much of them
diagnose.py   one answer, and how sure it is
sources.py    where a recording comes from: a port, a capture, a board
"""
