create table orders (
    id        uuid primary key,
    item      text not null,
    quantity  integer not null check (quantity > 0),
    placed_at timestamptz not null
);
