"""`make attack`: a daemon under attack beside ordinary clients, who must not notice much of it.

A daemon, 50 ordinary clients (`ordinary.py`) and the attacker (`attacker.py`) have a process each. `stage.py` runs
them, first without an attack and then with one attack after another, and measures the daemon by `gauge.py`. The attacks
are in `on_sockets.py`, `on_rooms.py`, `on_messages.py`, `on_http.py` and `on_webhooks.py`. `result.py` judges.
"""
