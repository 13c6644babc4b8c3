"""The request plane: endpoints that can be called from elsewhere, and the client that calls them.

Two planes serve the same endpoints: HTTP, one JSON line an item (`http_ingress.py`), and the
reference's own over TCP (`tcp_ingress.py`), by which its clients call our workers. `Client` calls
over either. Which instance gets a request is decided by pure code (`routing.py`, `ejection.py`).
"""
