#!/bin/sh
# Applies the migrations that the database has not had yet, each whole or not at all.
set -eu

PGPASSWORD=$(cat /run/secrets/db_password)
PGOPTIONS=--client-min-messages=warning
export PGPASSWORD PGOPTIONS

sql() { psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$@"; }

sql --command "create table if not exists migrations (name text primary key, applied_at timestamptz not null default now())"
for file in /db/migrations/*.sql; do
    name=$(basename "$file" .sql)
    [ -z "$(sql --command "select 1 from migrations where name = '$name'")" ] || continue
    echo "applying $name"
    sql --single-transaction --file "$file" --command "insert into migrations (name) values ('$name')"
done
