"""Exports: what the site has stored, as files for others, each value in exactly one of them.

An export is planned in the books (which sectors, from where to where) before its object is
written, and the object's name is in the plan. So whoever has the duty next writes the very same
object again, or finds it there: objects are written whole or not at all, and never over.

settings  the section [exports]
progress  how far each log was exported
lines     observations to FHIR or CSV
writer    one export after another, while a term lasts
"""
