"""Sites converge: what one hub has and another lacks goes over, is verified, and is proved there.

ranges, plan, schedule, bucket, waiting, vain
                       pure: what is missing, in what order, when, within what budget
holdings, copies       pure: what this site's store has, by log; what others proved
proof, heads, days     pure: what one site vouches for to another
wire                   pure: every message between two hubs (docs/formats/exchange.md)
tls, server, client    the two ends of a connection
desk, calendar         what others ask this hub; days that are stated and signed
errand                 what fetching and proving have in common
link, exchange         the conversation with one peer; all of them, wired
"""
