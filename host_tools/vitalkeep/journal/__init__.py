"""Logs on a flash dump: what is there, what proves it, what is missing, and its values.

dump.py     the file, and where in it sectors and key regions stand
survey.py   one sector without any key
chain.py    the sectors of one class with their keys: seals and records
inspect.py  a whole dump, in order, with its findings
export.py   observations and waveforms to CSV, JSON lines and Parquet
"""
