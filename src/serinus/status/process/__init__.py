"""What runs in the status process: it answers probes while the worker's interpreter cannot.

These modules are handed to the process as compiled code (see `serinus.status.launcher`), so
they import nothing but each other and built-in modules: no `serinus`, no `json`, no `re`, no
`logging`, no `enum`. That keeps it at a few MiB and up within milliseconds.
"""
