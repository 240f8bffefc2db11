"""What the API and the worker share: the queue between them, and the database."""

import os
from pathlib import Path

import psycopg
import redis
from psycopg.rows import dict_row

WAITING = "orders:waiting"
PACKING = "orders:packing"

PASSWORD = Path("/run/secrets/db_password")


def queue() -> redis.Redis:
    return redis.Redis(host=os.environ["REDIS_HOST"], decode_responses=True)


def database() -> psycopg.Connection:
    """Connects. Host, user and database are in PGHOST, PGUSER and PGDATABASE."""
    password = PASSWORD.read_text().strip()
    return psycopg.connect(password=password, autocommit=True, row_factory=dict_row)
