"""From another system to this one: its values come in with their origin, and both are compared.

mapping           mapping.toml: what the other system's columns and codes mean
parameters, units, times, numbers
                  pure: what a name, a unit, a time and a number of another system are here
readings          pure: what a row of a file gives, and why something is refused
csv_rows, hl7_rows  rows of a file of either kind
hl7_fields        pure: the text of a field, its escapes undone
importing         files into the store, from where the last run ended
listing           what is here of other systems, each value with its origin
ours, matching    what our gateways sealed of the same beds; the two sides held against each other
comparing         a span of time, window by window: all of it, or a sample
hubs              from another hub of ours: sectors with their proof
verdict, page     whether the switch can be made, and the signed report that says so
"""
