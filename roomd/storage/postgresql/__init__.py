"""The store in PostgreSQL. It keeps the same contracts as that in SQLite, which `roomd/storage` has (engine/ports.py).

Only `connection.py` uses asyncpg. Nothing here is imported unless `database.url` is set.
"""
