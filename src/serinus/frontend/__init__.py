"""The frontend: one view of the whole fleet, for probes, routers, autoscalers and people.

It follows discovery and answers from bodies that are prepared when something changes. Rules are in
`serinus.core`; what is proven from outside is proven by one frontend for all.
"""
