"""From another system to this one: its values come in with their origin, and both are compared.

mapping           mapping.toml: what the other system's columns and codes mean
parameters, units, times, numbers
                  pure: what a name, a unit, a time and a number of another system are here
readings          pure: what a row of a file gives, refused rows included
csv_rows, hl7_rows  pure: rows of a file of either kind
importing         files into the store, from where the last run ended
ours, matching    what our gateways sealed of the same beds; the two sides held against each other
comparing, verdict, page
                  a span compared, whether the switch can be made, and the page that says so
"""
