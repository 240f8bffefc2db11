alter table orders
    add column packed_at timestamptz not null default now(),
    add column packed_by text;

create index on orders (packed_at desc);
